"""Folders of features: public sets are read as they are, and one line for everything that can be wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.evaluation.lines import Line
from rdmf_cli.feature_folder import Bank, write_bank
from rdmf_cli.learn.datasets.features import FeatureFolders, FeatureSet
from tests.moment_sets import DIM, ROWS, write_set

LINE = Line("train.jsonl", 3, {})
VIDEO = "video0_60.0_100.0"
DEMO = Path("/work/shared/data/published/features/univtg_demo")


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path, num_train=2, num_validation=1) / "features"


def video_file(folder):
    return folder / "clip_features" / f"{VIDEO}.npz"


def test_rows_of_a_public_set_have_unit_length_even_times_and_no_cuts(folder):
    rows = FeatureSet(folder).video(VIDEO, LINE)
    assert rows.features.shape == (ROWS, DIM)
    assert rows.features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows.features, axis=1), 1, atol=1e-6)
    assert rows.timeline.starts_s.tolist() == [2.0 * i for i in range(ROWS)]
    assert rows.timeline.end_s == 2.0 * ROWS
    assert not rows.timeline.is_cut.any()
    assert rows.all_features is None
    one_second = FeatureSet(folder, FeatureFolders(spacing_s=1.0)).video(VIDEO, LINE)
    assert one_second.timeline.end_s == ROWS


def test_query_is_the_sentence_not_its_words(folder):
    vector, reach = FeatureSet(folder).query("1", LINE)
    stored = np.load(folder / "clip_text_features" / "qid1.npz")["pooler_output"].astype(np.float64)
    np.testing.assert_allclose(vector, stored / np.linalg.norm(stored), atol=1e-6)
    assert reach == 0  # public sets don't know


def test_ids_without_the_prefix_and_names_with_a_suffix_are_found(folder):
    texts = folder / "clip_text_features"
    shutil.copy(texts / "qid1.npz", texts / "test0.npz")
    shutil.copy(video_file(folder), folder / "clip_features" / "trip.npz")
    features = FeatureSet(folder)
    np.testing.assert_array_equal(features.query("test0", LINE).vector, features.query("1", LINE).vector)
    assert len(features.video("trip.mp4", LINE).features) == ROWS


def test_motion_is_set_behind_pictures_and_brought_to_their_length(folder):
    folders = FeatureFolders(more=("slowfast_features",))
    features = FeatureSet(folder, folders, concatenate=True)
    rows = features.video(VIDEO, LINE)
    assert rows.all_features is not None
    assert rows.all_features.dtype == np.float16
    assert rows.all_features.shape == (ROWS, DIM + 6)
    assert features.num_dims == DIM + 6
    np.testing.assert_allclose(rows.all_features[:, :DIM], rows.features, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rows.all_features[:, DIM:].astype(float), axis=1), 1, atol=1e-2)
    motion = folder / "slowfast_features" / f"{VIDEO}.npz"
    short = np.load(motion)["features"][: ROWS - 1]
    np.savez(motion, features=short)
    again = FeatureSet(folder, folders, concatenate=True).video(VIDEO, LINE).all_features
    assert again is not None
    np.testing.assert_array_equal(again[-1, DIM:], again[-2, DIM:])
    np.savez(motion, features=short[:5])
    with pytest.raises(UsageError, match="5 rows for the 20 of clip_features"):
        FeatureSet(folder, folders, concatenate=True).video(VIDEO, LINE)


def damaged(values):
    """A change of the video's rows."""

    def change(folder):
        np.savez(video_file(folder), **values)

    return change


def rows_with(value):
    rows = np.ones((ROWS, DIM), np.float32)
    rows[4, 2] = value
    return rows


def cut_short(folder):
    video_file(folder).write_bytes(video_file(folder).read_bytes()[:-40])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: video_file(folder).unlink(), "train.jsonl, line 3: no features: .*0.npz is missing"),
        (lambda folder: video_file(folder).write_bytes(b""), "damaged, no npz"),
        (lambda folder: video_file(folder).write_bytes(b"\x93NUMPY rubbish"), "damaged, no npz"),
        (cut_short, "damaged, no npz"),
        (damaged({"features": np.array([{"a": 1}], object)}), "a pickle"),
        (damaged({"rows": np.ones((3, DIM))}), "no 'features' in it"),
        (damaged({"features": rows_with(np.nan)}), "row 5 of 20 holds a number that is not finite"),
        (damaged({"features": rows_with(np.inf)}), "row 5 of 20"),
        (damaged({"features": np.ones((0, DIM))}), "no table of numbers"),
        (damaged({"features": np.ones(DIM)}), "no table of numbers|dimensions"),
        (damaged({"features": np.array([["a"] * DIM])}), "no table of numbers"),
        (damaged({"features": np.ones((2, DIM)), "times_s": np.array([1.0, 0.0])}), "'times_s' and 'cut_s'"),
        (damaged({"features": np.ones((2, DIM)), "times_s": np.array([0.0])}), "'times_s' and 'cut_s'"),
        (damaged({"features": np.ones((2, DIM)), "times_s": np.array([0.0, 1.0])}), "'duration_s' is not after"),
        (damaged({"features": np.ones((3, DIM + 1))}), f"{DIM + 1} dimensions, .* has {DIM}"),
    ],
)
def test_videos_that_are_wrong(folder, change, message):
    change(folder)
    features = FeatureSet(folder)
    features.query("1", LINE)
    with pytest.raises(UsageError, match=message) as caught:
        features.video(VIDEO, LINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"last_hidden_state": np.ones((3, DIM))},
            "train.jsonl, line 3: .*only 'last_hidden_state', a vector per word",
        ),
        ({"x": np.ones(DIM)}, "no 'pooler_output'"),
        ({"pooler_output": np.ones((2, DIM))}, "not one vector"),
        ({"pooler_output": np.full(DIM, np.nan)}, "not finite"),
        ({"pooler_output": np.zeros(DIM)}, "the vector is 0"),
        ({"pooler_output": np.ones(DIM), "reach": np.array(np.nan)}, "'reach' is not one finite number"),
        ({"pooler_output": np.ones(DIM), "reach": np.ones(2)}, "'reach' is not one finite number"),
        ({"pooler_output": np.ones(DIM + 1)}, f"{DIM + 1} dimensions, .* has {DIM}"),
    ],
)
def test_queries_that_are_wrong(folder, arrays, message):
    np.savez(folder / "clip_text_features" / "qid1.npz", **arrays)
    features = FeatureSet(folder)
    features.video(VIDEO, LINE)
    with pytest.raises(UsageError, match=message):
        features.query("1", LINE)


def test_names_from_a_file_lead_nowhere_else(folder):
    shutil.copy(video_file(folder), folder / "secret.npz")
    for name in ("../secret", "a/b", "..", "a\0b"):
        with pytest.raises(UsageError, match="can't be the name of a file of features"):
            FeatureSet(folder).video(name, LINE)
    with pytest.raises(UsageError, match="is missing"):
        FeatureSet(folder).video("a" * 5000, LINE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(folder):
    video_file(folder).unlink()
    os.mkfifo(video_file(folder))
    with pytest.raises(UsageError, match="is missing"):
        FeatureSet(folder).video(VIDEO, LINE)


def test_folders_that_are_not_there(folder, tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such folder of features"):
        FeatureSet(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="vid_clip: no such folder") as caught:
        FeatureSet(folder, FeatureFolders(video="vid_clip"))
    assert "clip_features, clip_text_features, slowfast_features" in caught.value.hint
    with pytest.raises(ValueError, match="no name of a folder"):
        FeatureFolders(more=("../else",))
    with pytest.raises(ValueError, match="spacing_s"):
        FeatureFolders(spacing_s=0)


def test_features_of_another_encoder(folder):
    vectors = np.eye(2, DIM, dtype=np.float32)
    write_bank(folder, Bank(vectors, 0.1, 0.05, "aaaa", "lite"))
    assert FeatureSet(folder, encoder="aaaa").bank is not None
    with pytest.raises(ModelError, match="features of another encoder than the model's"):
        FeatureSet(folder, encoder="bbbb")
    np.savez(video_file(folder), features=np.ones((ROWS, DIM)), encoder="cccc")
    with pytest.raises(UsageError, match="made by another encoder than the rest"):
        FeatureSet(folder).video(VIDEO, LINE)


@pytest.mark.parametrize(
    "change",
    [
        {"bank": np.ones((2, DIM))},
        {"bank": np.full((2, DIM), np.nan)},
        {"null_spread": 0.0},
        {"null_mean": np.nan},
        {"bank": np.eye(DIM)[0]},
    ],
)
def test_a_bank_that_is_not_sound(folder, change):
    arrays = {"bank": np.eye(2, DIM), "null_mean": 0.1, "null_spread": 0.1} | change
    np.savez(folder / "bank.npz", **arrays)
    with pytest.raises(UsageError, match="not a bank"):
        FeatureSet(folder)


def test_the_published_demo_video_is_read(folder, tmp_path):
    if not DEMO.exists():
        pytest.skip("the published features are not on this machine")
    for name, source in (("clip_features/demo.npz", "vid.npz"), ("clip_text_features/qid1.npz", "txt.npz")):
        (tmp_path / "demo" / name).parent.mkdir(parents=True)
        shutil.copy(DEMO / source, tmp_path / "demo" / name)
    features = FeatureSet(tmp_path / "demo")
    rows = features.video("demo", LINE)
    assert rows.features.shape == (15, 512)
    assert rows.timeline.end_s == 30
    with pytest.raises(UsageError, match="only 'features', a vector per word"):
        features.query("1", LINE)
