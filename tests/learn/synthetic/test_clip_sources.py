"""Stretches of real videos as sources of composites, from features in the layout of `rdmf extract`."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.feature_folder import Bank, write_bank
from rdmf_cli.learn.synthetic.clips import clip_sources
from rdmf_cli.learn.synthetic.composites import composite_bank
from rdmf_cli.learn.synthetic.timelines import Null, TimelineConfig, timeline_example
from tests.fakes import COLOURS, FakeEncoder
from tests.moment_sets import SPACING_S, annotation, write_lines

ENCODER = FakeEncoder()
VIDEO = "walk"
SHOTS = ("red", "green", "blue", "red")  # each of four rows
REAL_S = np.array([2.0, 6.0], np.float32)


def frames(colour: str) -> np.ndarray:
    return np.full((4, *ENCODER.image_size_px, 3), COLOURS[colour], np.uint8)


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    for name in ("clip_features", "clip_text_features"):
        (folder / name).mkdir(parents=True)
    rows = np.concatenate([ENCODER.encode_images(frames(colour)) for colour in SHOTS])
    np.savez(folder / "clip_features" / f"{VIDEO}.npz", features=rows.astype(np.float16))
    write_bank(folder, Bank(ENCODER.encode_texts(["a", "b c"]), 0.0, 1.0, ENCODER.fingerprint))
    return folder


def asked(tmp_path, *windows_of: tuple[str, list[list[float]]]):
    rows = [
        annotation(number, VIDEO, windows, query=query, duration=len(SHOTS) * 4 * SPACING_S)
        for number, (query, windows) in enumerate(windows_of)
    ]
    return write_lines(tmp_path / "clips.jsonl", rows)


def sources(tmp_path, features, *windows_of, views=3):
    return clip_sources(asked(tmp_path, *windows_of), features, encoder=ENCODER.fingerprint, views=views)


def test_a_window_is_a_source_with_views_along_it(tmp_path, features):
    found = sources(tmp_path, features, ("red then green", [[4, 12]]), ("nothing", []))
    assert len(found) == 1
    assert found[0].texts == ("red then green",)
    assert found[0].of == ""
    assert found[0].views.shape == (3, ENCODER.dim)
    red, green = (ENCODER.encode_images(frames(colour))[0] for colour in ("red", "green"))
    np.testing.assert_allclose(found[0].views[0], red, atol=1e-3)
    np.testing.assert_allclose(found[0].views[-1], green, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found[0].views, axis=1), 1, atol=1e-5)


def test_windows_of_one_query_show_the_same_thing(tmp_path, features):
    found = sources(tmp_path, features, ("red", [[0, 8], [24, 32]]), ("blue", [[16, 24]]))
    assert [source.of for source in found] == ["red", "red", ""]
    bank = composite_bank(found, ENCODER, Null(ENCODER.encode_texts(["a", "b c"]), 0.0, 1.0))
    assert [len(rows) for rows in bank.views_of] == [2, 1]


def test_a_window_between_two_frames_is_the_frame_on_screen(tmp_path, features):
    [found] = sources(tmp_path, features, ("green", [[8.5, 9.5]]))
    np.testing.assert_allclose(found.views, np.repeat(ENCODER.encode_images(frames("green"))[:1], 3, axis=0), atol=1e-3)


def test_clips_play_in_composite_videos(tmp_path, features):
    found = sources(tmp_path, features, ("red", [[0, 8]]), ("green", [[8, 16]]), ("blue", [[16, 24]]))
    null = Null(ENCODER.encode_texts([f"{name} wall" for name in COLOURS]), 0.2, 0.3)
    bank = composite_bank(found, ENCODER, null)
    config = TimelineConfig(bank_size=(5, 8))
    made = [timeline_example(bank, REAL_S, config, 0, number, "clip") for number in range(20)]
    hits = [one.saliency[one.values[:, 0].argmax()] > 0.5 for one in made if len(one.windows)]
    assert np.mean(hits) > 0.7


def test_what_is_refused(tmp_path, features):
    with pytest.raises(UsageError, match="no window in it"):
        sources(tmp_path, features, ("nothing", []))
    with pytest.raises(ModelError):
        clip_sources(asked(tmp_path, ("red", [[0, 8]])), features, encoder="another", views=3)
    with pytest.raises(UsageError, match="no such folder"):
        clip_sources(asked(tmp_path, ("red", [[0, 8]])), tmp_path / "none", encoder="", views=3)
