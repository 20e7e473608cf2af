"""Raw videos → a folder of features: what is in it, what is kept, what a kill leaves, and that training reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import OutputError, UsageError, VideoError
from rdmf_cli.feature_folder import read_bank
from rdmf_cli.pipeline import extract as module
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.extract import Wanted, extract, the_one, videos_by_name
from rdmf_cli.pipeline.index import index_video
from rdmf_cli.pipeline.snippets import snippets_of
from tests.fakes import FakeEncoder

QUERIES = [Wanted("1", "something red"), Wanted("x2", "something blue")]


@pytest.fixture
def folder(tmp_path, colours):
    (tmp_path / "videos" / "below").mkdir(parents=True)
    shutil.copy(colours, tmp_path / "videos" / "below" / "trip_0.0_12.0.mp4")
    return tmp_path / "videos"


@pytest.fixture
def run(tmp_path, folder, encoder, ears):
    """run(...) -> Report of extracting the folder."""

    def start(queries=QUERIES, out=None, **changes):
        videos = {name: the_one(paths, name) for name, paths in videos_by_name(folder).items()}
        given = {"encoder": encoder, "store": None, "options": SearchOptions(sample_fps=2.0), "progress": ears}
        return extract(videos, queries, out or tmp_path / "out", **(given | changes))

    return start


def test_a_file_says_what_a_search_would_see(run, tmp_path, colours, encoder):
    report = run()
    [video] = report.videos
    assert (video.video, video.status, video.num_snippets) == ("trip_0.0_12.0", "written", 24)
    with np.load(tmp_path / "out" / "clip_features" / "trip_0.0_12.0.npz", allow_pickle=False) as kept:
        indexed = index_video(colours, encoder=encoder, store=None, options=SearchOptions(sample_fps=2.0))
        features, timeline = snippets_of(indexed.features, 2.0)
        np.testing.assert_allclose(kept["features"], features, atol=1e-3)
        np.testing.assert_array_equal(kept["times_s"], timeline.starts_s)
        np.testing.assert_array_equal(kept["cut_s"], timeline.cut_s)
        assert float(kept["duration_s"]) == timeline.end_s
        assert str(kept["encoder"]) == encoder.fingerprint
    with np.load(tmp_path / "out" / "clip_text_features" / "qidx2.npz", allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["pooler_output"], encoder.encode_texts(["something blue"])[0])
        assert float(kept["reach"]) == 0  # this encoder knows no ordinary photographs


def test_the_bank_is_the_encoders_calibration(run, tmp_path, encoder):
    run()
    bank, wanted = read_bank(tmp_path / "out"), calibrate(encoder, None)
    assert bank is not None
    np.testing.assert_array_equal(bank.vectors, wanted.bank)
    assert (bank.null_mean, bank.null_spread) == (wanted.null_mean, wanted.null_spread)
    assert (bank.encoder, bank.encoder_name) == (encoder.fingerprint, encoder.name)


def test_a_second_run_makes_nothing_again(run, tmp_path, encoder, ears):
    run()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.npz")}
    num_images, num_texts = encoder.num_images, encoder.num_texts
    report = run()
    assert (encoder.num_images, encoder.num_texts) == (num_images, num_texts)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.npz")} == before
    assert (report.count("unchanged"), report.num_texts_unchanged, report.num_texts_written) == (1, 2, 0)
    assert report.videos[0].num_snippets == 24
    assert ears.running == 0


def test_what_has_changed_is_made_again(run, tmp_path, folder, colours):
    run()
    assert run(options=SearchOptions(sample_fps=1.0)).videos[0].num_snippets == 12  # another sampling
    report = run([Wanted("1", "something green"), QUERIES[1]], options=SearchOptions(sample_fps=1.0))
    assert (report.count("unchanged"), report.num_texts_written) == (1, 1)
    video = folder / "below" / "trip_0.0_12.0.mp4"
    video.write_bytes(colours.read_bytes() + b"\0" * 100)  # another content
    assert run(options=SearchOptions(sample_fps=1.0)).count("written") == 1
    file = tmp_path / "out" / "clip_features" / "trip_0.0_12.0.npz"
    file.write_bytes(file.read_bytes()[:200])  # damaged
    (tmp_path / "out" / "bank.npz").write_bytes(b"")
    assert run(options=SearchOptions(sample_fps=1.0)).count("written") == 1
    assert read_bank(tmp_path / "out") is not None


def test_features_in_the_store_are_not_decoded_again(run, store, decoders):
    run(store=store)
    count = len(decoders)
    assert count > 0
    assert run(store=store, out=store.folder.parent / "other").count("written") == 1
    assert len(decoders) == count


def test_a_folder_holds_one_encoder(run, tmp_path):
    run()
    with pytest.raises(UsageError, match="holds features of another version of fake, not of fake"):
        run(encoder=FakeEncoder(seed=1))
    with pytest.raises(UsageError, match="holds features of the encoder fake, not of strange"):
        run(encoder=FakeEncoder("strange", seed=1))
    (tmp_path / "out" / "bank.npz").unlink()
    with pytest.raises(UsageError, match="'rdmf extract' did not write"):
        run()


def test_a_stop_leaves_whole_files_only_and_the_next_run_goes_on(run, tmp_path, folder, monkeypatch):
    shutil.copy(folder / "below" / "trip_0.0_12.0.mp4", folder / "second.mp4")
    write = module.write_arrays

    def interrupted(file: Path, arrays: dict[str, object]) -> None:
        if file.name == "trip_0.0_12.0.npz" and not stopped:
            stopped.append(file)
            raise KeyboardInterrupt
        write(file, arrays)

    stopped: list[Path] = []
    monkeypatch.setattr(module, "write_arrays", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    for file in (tmp_path / "out").rglob("*"):
        assert file.is_dir() or np.load(file, allow_pickle=False).files
    report = run()
    assert sorted(video.status for video in report.videos) in (["unchanged", "written"], ["written", "written"])
    assert report.num_texts_unchanged == 2


def test_a_broken_video_is_told_and_the_others_are_done(run, folder, tmp_path):
    (folder / "broken.mp4").write_bytes((folder / "below" / "trip_0.0_12.0.mp4").read_bytes()[:3000])
    report = run()
    assert {video.video: video.status for video in report.videos} == {"broken": "failed", "trip_0.0_12.0": "written"}
    [failed] = [entry for entry in report.to_json()["videos"] if entry["status"] == "failed"]
    assert "broken.mp4" in failed["message"]
    assert not (tmp_path / "out" / "clip_features" / "broken.npz").exists()


def test_an_output_that_can_not_be_written(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written"):
        run(out=tmp_path / "file")


def test_names(folder, tmp_path):
    shutil.copy(folder / "below" / "trip_0.0_12.0.mp4", folder / "trip_0.0_12.0.mkv")
    found = videos_by_name(folder)
    with pytest.raises(UsageError, match=r"two videos are called 'trip_0.0_12.0'"):
        the_one(found["trip_0.0_12.0"], "trip_0.0_12.0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="no videos in this folder"):
        videos_by_name(tmp_path / "empty")
    with pytest.raises(VideoError, match="no such folder"):
        videos_by_name(tmp_path / "nowhere")
