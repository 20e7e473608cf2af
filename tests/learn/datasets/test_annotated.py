"""From a folder and annotations to examples: positions, saliency, banks, and what the network will see."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.evaluation.lines import Line
from rdmf_cli.feature_folder import Bank, read_bank, write_bank
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, REACH_SHARE
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moment_decode import seconds
from rdmf_cli.learn.datasets.annotated import (
    LayoutConfig,
    edges_s,
    in_snippets,
    load_layout,
    measured_bank,
    snippet_saliency,
)
from rdmf_cli.learn.datasets.annotations import Annotation, read_annotations
from rdmf_cli.learn.datasets.features import FeatureFolders, FeatureSet
from tests.moment_sets import DIM, ROWS, annotation, write_lines, write_set


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path)


def config_of(folder, **changes):
    usual = {"features": folder / "features", "train": folder / "train.jsonl", "validation": folder / "val.jsonl"}
    return LayoutConfig(**(usual | changes))


def marked(windows, saliency=None, duration_s=8.0):
    windows_s = np.array(windows, np.float64).reshape(-1, 2)
    clips = None if saliency is None else np.array(saliency)
    return Annotation(Line("a", 1, {}), "1", "v", "q", duration_s, windows_s, clips)


def test_a_public_set_becomes_examples(folder):
    data = load_layout(config_of(folder))
    assert (len(data.train), len(data.validation), data.num_dims) == (8, 4, DIM)
    assert [one.name for one in data.train] == ["0", "1", "10", "11", "20", "21", "30", "31"]
    for one in data.train + data.validation:
        assert one.values.shape == (ROWS, len(INPUT_NAMES))
        assert one.values.dtype == np.float32
        assert one.query.shape == (len(QUERY_NAMES),)
        assert one.distance.shape == one.is_cut.shape == (ROWS - 1,)
        assert not one.is_cut.any()
        assert one.spacing_s == 2.0
        assert one.windows.dtype == np.float32
        assert one.features is None
        assert np.isfinite(one.values).all()
        assert one.text == f"thing {one.name}"
    first = read_annotations(folder / "train.jsonl")[0]
    np.testing.assert_allclose(data.train[0].windows, first.windows_s / 2)
    assert data.train[3].windows.shape == (0, 2)
    assert not data.train[3].saliency.any()


def test_what_answers_stands_out_in_the_inputs(folder):
    data = load_layout(config_of(folder))
    affinity = INPUT_NAMES.index("affinity")
    for one in data.train:
        inside = one.saliency > 0
        if inside.any():
            assert one.values[inside, affinity].mean() > one.values[~inside, affinity].mean() + 1


def test_order_of_lines_is_kept_whatever_the_videos(folder):
    lines = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    shuffled = lines[::2] + lines[1::2]
    (folder / "train.jsonl").write_text("".join(shuffled))
    names = [one.name for one in load_layout(config_of(folder)).train]
    assert names == [str(json.loads(line)["qid"]) for line in shuffled]


def test_without_a_validation_file_videos_are_split(folder):
    data = load_layout(config_of(folder, validation=None, validation_share=0.25))
    assert (len(data.train), len(data.validation)) == (6, 2)


def test_a_video_on_both_sides_is_refused(folder):
    with pytest.raises(UsageError, match="is in the training, too"):
        load_layout(config_of(folder, validation=folder / "train.jsonl"))


def test_concatenated_features_and_the_model_that_takes_them(folder):
    folders = FeatureFolders(more=("slowfast_features",))
    wanted = config_of(folder, folders=folders, with_features=True)
    data = load_layout(wanted, feature_dim=DIM + 6)
    one, other = data.train[:2]
    assert one.features is not None
    assert one.words is not None
    assert one.features.shape == (ROWS, DIM + 6)
    assert one.words.shape == (DIM + 6,)
    assert one.features is other.features  # a video's rows are kept once
    np.testing.assert_allclose(np.linalg.norm(one.words.astype(float)), 1, atol=1e-2)
    assert not one.words[DIM:].any()
    plain = load_layout(config_of(folder))
    np.testing.assert_array_equal(one.values, plain.train[0].values)  # motion is no part of the affinity
    with pytest.raises(ModelError, match=f"have {DIM + 6} dimensions, the model takes 512"):
        load_layout(wanted, feature_dim=512)


def test_the_bank_of_the_folder_is_used_if_there_is_one(folder):
    measured = load_layout(config_of(folder))
    vectors = np.eye(6, DIM, dtype=np.float32)
    write_bank(folder / "features", Bank(vectors, 0.02, 0.3, "aaaa", "lite"))
    data = load_layout(config_of(folder))
    kept = read_bank(folder / "features")
    assert kept is not None
    np.testing.assert_array_equal(data.bank.vectors, vectors)
    assert (kept.null_mean, kept.null_spread, kept.encoder_name) == (0.02, 0.3, "lite")
    absolute = INPUT_NAMES.index("absolute")
    assert not np.allclose(data.train[0].values[:, absolute], measured.train[0].values[:, absolute])
    with pytest.raises(ModelError, match="another encoder"):
        load_layout(config_of(folder), encoder="bbbb")


def test_what_a_sentence_reaches_anyway_is_taken_off(folder):
    absolute = INPUT_NAMES.index("absolute")
    write_bank(folder / "features", Bank(np.eye(6, DIM, dtype=np.float32), 0.0, 1.0))
    before = load_layout(config_of(folder)).train[0]
    file = folder / "features" / "clip_text_features" / f"qid{before.name}.npz"
    with np.load(file) as kept:
        arrays = dict(kept)
    np.savez(file, **arrays, reach=np.float32(0.4))
    after = load_layout(config_of(folder)).train[0]
    np.testing.assert_allclose(before.values[:, absolute] - after.values[:, absolute], 0.4 * REACH_SHARE, atol=1e-5)


def test_the_measured_null_is_what_unrelated_pictures_get(folder):
    annotations = read_annotations(folder / "train.jsonl")
    bank = measured_bank(FeatureSet(folder / "features"), annotations)
    assert bank.vectors.shape == (8, DIM)
    data = load_layout(config_of(folder))
    absolute = INPUT_NAMES.index("absolute")
    unrelated = np.concatenate([one.values[:, absolute] for one in data.train if not len(one.windows)])
    assert abs(unrelated.mean()) < 1.5  # in null deviations
    hits = np.concatenate([one.values[one.saliency > 0, absolute] for one in data.train])
    assert hits.mean() > 2


def test_one_query_alone_is_no_bank(folder):
    [first, *_] = read_annotations(folder / "train.jsonl")
    with pytest.raises(UsageError, match="one query alone"):
        measured_bank(FeatureSet(folder / "features"), [first])


def test_places_along_snippets_of_uneven_length():
    timeline = Timeline(np.array([0.1, 1, 2, 3]), np.array([np.nan, np.nan, 1.4, np.nan]), 4.5)
    edges = edges_s(timeline)
    assert edges.tolist() == [0, 1, 2, 3, 4.5]
    np.testing.assert_allclose(in_snippets(np.array([0.5, 1.4, 2.2, 3.75, 4.5, 9]), edges), [0.5, 1.4, 2.2, 3.5, 4, 4])
    places = np.linspace(0, 4, 33)  # decoding goes the same way back
    np.testing.assert_allclose(in_snippets(seconds(places, timeline), edges), places)


@pytest.mark.parametrize("spacing_s", [0.5, 1.0, 2.0, 4.0])
def test_labels_of_clips_on_snippets_of_any_length(spacing_s):
    edges = np.arange(0, 8 + spacing_s, spacing_s)
    values = snippet_saliency(marked([[2, 6]], [0, 1, 0.5, 0]), edges)
    clips = np.array([0, 1, 0.5, 0])
    wanted = np.repeat(clips, int(2 / spacing_s)) if spacing_s <= 2 else clips.reshape(-1, 2).mean(axis=1)
    np.testing.assert_allclose(values, wanted, atol=1e-6)


def test_saliency_where_nobody_labelled_clips():
    edges = np.arange(0, 9.0, 1)
    covered = snippet_saliency(marked([[0.5, 2], [1.5, 3], [6, 6.25]]), edges)
    np.testing.assert_allclose(covered, [0.5, 1, 1, 0, 0, 0, 0.25, 0], atol=1e-6)
    np.testing.assert_array_equal(snippet_saliency(marked([]), edges), np.zeros(8))
    half = snippet_saliency(marked([[2, 4]], [0, 1, 0]), edges)  # labels end at 6 s
    np.testing.assert_array_equal(np.isnan(half), [False] * 6 + [True] * 2)


def test_durations_and_windows_must_fit_the_rows(folder):
    video = "video0_60.0_100.0"
    write_lines(folder / "train.jsonl", [annotation(i, video, [[0, 4]], duration=150) for i in (0, 1)])
    with pytest.raises(UsageError, match=r"line 1: 'duration' is 150 s, but .* holds 20 rows, one every 2 s"):
        load_layout(config_of(folder, train=folder / "train.jsonl"))
    write_lines(folder / "train.jsonl", [annotation(i, video, [[40.5, 42]], duration=42) for i in (0, 1)])
    with pytest.raises(UsageError, match=r"line 1: the window \[40.5, 42\] is outside the video, which ends at 40 s"):
        load_layout(config_of(folder, train=folder / "train.jsonl"))


def test_an_annotation_of_an_unknown_video(folder):
    write_lines(folder / "train.jsonl", [annotation(0, "video9", [[0, 4]]), annotation(1, "video9", [[0, 4]])])
    with pytest.raises(UsageError, match=r"train\.jsonl, line 1: no features: .*video9\.npz is missing"):
        load_layout(config_of(folder))
