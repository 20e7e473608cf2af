"""Indexing folders: every file once, what is known not again, a bad one alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.errors import StoreError, UsageError
from rdmf_cli.media.scan import Choice
from rdmf_cli.pipeline import derived, engines, indexing, planning
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.index import feature_spec
from rdmf_cli.pipeline.planning import Shard
from rdmf_cli.store import Store, records
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import COLOURS, contents, index, small_videos


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A copy of the small videos that a test may change."""
    return Path(shutil.copytree(small_videos(), tmp_path / "videos"))


def by_name(events: list[Any]) -> dict[str, str]:
    return {event.path.name: event.kind for event in events}


def test_everything_once_then_nothing_again(
    videos: Path, store: Store, decoders: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = FakeEncoder()
    summary, events = index(store, videos, encoder=encoder)
    assert by_name(events) == {**{f"{colour}.mp4": "indexed" for colour in COLOURS}, "cut.mp4": "failed"}
    assert (summary.count("indexed"), len(summary.failed), summary.num_others) == (8, 1, 1)
    assert len(decoders) == 8
    assert encoder.num_images == 8  # a still picture each
    assert (summary.num_frames, summary.num_encoded) == (sum(event.num_frames for event in events), 8)
    for event in events:
        if event.kind == "indexed":
            assert store.load(event.video_id, feature_spec(encoder, 2.0, "ffmpeg")) is not None

    monkeypatch.setattr(planning, "fingerprint", None)  # size and time must do
    monkeypatch.setattr(planning, "probe", None)
    summary, events = index(store, videos, encoder=encoder)
    assert by_name(events) == {**{f"{colour}.mp4": "unchanged" for colour in COLOURS}, "cut.mp4": "failed"}
    assert [event.earlier for event in summary.failed] == [True]
    assert (len(decoders), encoder.num_images) == (8, 8)


def test_moved_copied_touched_changed(videos: Path, store: Store, decoders: list[Any]) -> None:
    index(store, videos)
    decoders.clear()
    os.rename(videos / "red.mp4", videos / "more" / "rouge.mp4")
    shutil.copy(videos / "blue.mp4", videos / "bleu.mp4")
    os.utime(videos / "cyan.mp4", ns=(1, 1))
    shutil.copy(videos / "more" / "green.mp4", videos / "orange.mp4")  # other content under a known name
    _, events = index(store, videos)
    kinds = by_name(events)
    assert (kinds["rouge.mp4"], kinds["bleu.mp4"], kinds["cyan.mp4"]) == ("moved", "copied", "unchanged")
    assert kinds["orange.mp4"] == "copied"
    assert decoders == []
    before = {event.path.name: event.before.name for event in events if event.before}
    assert before == {"rouge.mp4": "red.mp4", "bleu.mp4": "blue.mp4", "orange.mp4": "green.mp4"}
    _, events = index(store, videos)
    assert set(by_name(events).values()) == {"unchanged", "failed"}
    known = {path.name for video in records.videos(store.catalogue) for path in video.paths}
    assert "rouge.mp4" in known
    assert "red.mp4" not in known


def test_the_place_on_a_disk_that_is_away_is_not_forgotten(videos: Path, store: Store) -> None:
    index(store, videos)
    away = videos / "more"
    shutil.copy(away / "green.mp4", videos / "vert.mp4")
    os.rename(away, videos.parent / "unplugged")
    _, events = index(store, videos)
    assert by_name(events)["vert.mp4"] == "moved"
    os.rename(videos.parent / "unplugged", away)
    _, events = index(store, videos)
    assert by_name(events)["green.mp4"] == "unchanged"


def test_links_and_overlapping_places_count_once(videos: Path, store: Store, decoders: list[Any]) -> None:
    (videos / "again.mp4").symlink_to("blue.mp4")
    _, events = index(store, videos / "more", videos, videos / "blue.mp4", videos / "more" / ".." / "blue.mp4")
    assert len(events) == 9
    assert len(decoders) == 8


def test_copies_within_one_run_are_encoded_once(videos: Path, store: Store, decoders: list[Any]) -> None:
    for number in range(4):
        shutil.copy(videos / "blue.mp4", videos / f"blue{number}.mp4")
    summary, _ = index(store, videos, jobs=4)
    assert (summary.count("indexed"), summary.count("copied")) == (8, 4)
    assert len(decoders) == 8
    assert contents(store.folder)["claims"] == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_result_does_not_depend_on_the_number_of_jobs(videos: Path, tmp_path: Path, jobs: int) -> None:
    for name, number in (("one", 1), ("other", jobs)):
        with Store.open(tmp_path / name) as store:
            index(store, videos, jobs=number)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_failed_files_are_tried_again_when_asked_or_changed(videos: Path, store: Store) -> None:
    index(store, videos)
    _, events = index(store, videos, retry_failed=True)
    [failed] = [event for event in events if event.kind == "failed"]
    assert not failed.earlier
    shutil.copy(videos / "red.mp4", videos / "cut.mp4")
    summary, events = index(store, videos)
    assert by_name(events)["cut.mp4"] == "copied"
    assert records.failures(store.catalogue) == []
    assert not summary.failed


def test_what_the_system_refuses_is_not_held_against_the_file(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "red.mp4":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        summary, _ = index(store, videos)
    assert sorted(event.path.name for event in summary.failed) == ["cut.mp4", "red.mp4"]
    summary, events = index(store, videos)
    assert by_name(events)["red.mp4"] == "indexed"


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_video = engines.encode_video

    def written_to(info: Any, *arguments: Any) -> Any:
        if info.path.name == "red.mp4":
            with info.path.open("ab") as stream:
                stream.write(b"\0" * 8)
        return encode_video(info, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(engines, "encode_video", written_to)
        summary, _ = index(store, videos)
    assert ["changed while it was read" in event.message for event in summary.failed].count(True) == 1
    assert [record.path.name for record in records.failures(store.catalogue)] == ["cut.mp4"]
    summary, events = index(store, videos)
    assert by_name(events)["red.mp4"] == "indexed"


def test_a_bug_with_one_video_does_not_stop_the_others(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_video = engines.encode_video

    def broken(info: Any, *arguments: Any) -> Any:
        if info.path.name == "red.mp4":
            raise ValueError("of\nours")
        return encode_video(info, *arguments)

    monkeypatch.setattr(engines, "encode_video", broken)
    summary, _ = index(store, videos)
    [message] = [event.message for event in summary.failed if event.path.name == "red.mp4"]
    assert message.endswith("this is a bug in rdmf: ValueError: of ours")
    assert summary.count("indexed") == 7


def test_a_full_disk_ends_it_and_keeps_what_is_done(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Store.save, []

    def full(self: Store, *arguments: Any) -> None:
        if len(saved) == 3:
            raise StoreError("/s: No space left on device", hint="free some")
        saved.append(arguments[0])
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", full)
        with pytest.raises(StoreError, match="No space"):
            index(store, videos, jobs=2)
    assert len(contents(store.folder)["sets"]) == 3
    assert contents(store.folder)["claims"] == []
    summary, _ = index(store, videos)
    assert (summary.count("indexed"), summary.count("unchanged")) == (5, 3)


def test_interrupted_by_the_user(videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the thread that waits; the lanes end with the batch they are at, and no thread stays."""
    import threading

    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing._Lanes, "_note", lambda self: None)
    join = threading.Thread.join

    def join_interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name == "rdmf-lane-0" and timeout is not None:
            raise KeyboardInterrupt
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", join_interrupted)
    with pytest.raises(KeyboardInterrupt):
        index(store, videos, jobs=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rdmf-lane")]
    monkeypatch.undo()
    summary, _ = index(store, videos)
    assert summary.count("indexed") + summary.count("unchanged") == 8


def test_choice_and_shards(videos: Path, store: Store, decoders: list[Any]) -> None:
    _, events = index(store, videos, choice=Choice(include=("*.mp4",), exclude=("more",)), dry_run=True)
    assert sorted(by_name(events)) == ["blue.mp4", "cut.mp4", "cyan.mp4", "orange.mp4", "red.mp4"]
    assert decoders == []
    names: list[str] = []
    for number in (1, 2, 3):
        _, events = index(store, videos, shard=Shard(number, 3), dry_run=True)
        names += by_name(events)
    assert sorted(names) == sorted([f"{colour}.mp4" for colour in COLOURS] + ["cut.mp4"])
    moved = Path(shutil.copytree(videos, videos.parent / "elsewhere"))  # another mount point, the same parts
    one, other = (by_name(index(store, place, shard=Shard(2, 3), dry_run=True)[1]) for place in (videos, moved))
    assert list(one) == list(other)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "-1/3", "1/0"])
def test_shards_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError):
        Shard.parse(text)
    assert Shard.parse("2/3") == Shard(2, 3)


def test_a_dry_run_changes_nothing(videos: Path, store: Store) -> None:
    index(store, videos / "more")
    before = contents(store.folder)
    os.rename(videos / "more" / "green.mp4", videos / "vert.mp4")
    summary, events = index(store, videos, dry_run=True)
    assert by_name(events)["vert.mp4"] == "moved"
    assert (summary.count("would-index"), summary.count("unchanged")) == (4, 3)
    assert contents(store.folder) == before
    assert "would index 4 videos" in summary.lines(dry_run=True)[0]


def test_another_encoder_or_rate_is_indexed_beside(videos: Path, store: Store) -> None:
    index(store, videos)
    for way in ({"encoder": FakeEncoder(seed=1)}, {"how": SearchOptions(sample_fps=5.0)}):
        assert index(store, videos, **way)[0].count("indexed") == 8
        assert index(store, videos, **way)[0].count("unchanged") == 8
    assert len(contents(store.folder)["sets"]) == 24


def test_the_rate_of_a_long_video_is_known_without_opening_it(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Videos beyond ten minutes are sampled at 1 fps; which ones they are must not need a probe each time."""
    index(store, videos)
    red = next(video for video in records.videos(store.catalogue) if video.paths[0].name == "red.mp4")
    store.catalogue.put_duration(red.fingerprint, 700.0)
    _, events = index(store, videos, dry_run=True)
    assert [event.path.name for event in events if event.kind == "would-index"] == ["red.mp4"]


def test_a_feature_file_that_is_gone_is_made_again(videos: Path, store: Store) -> None:
    index(store, videos)
    file = next((store.folder / "features").rglob("*.faiss"))
    file.unlink()
    assert index(store, videos)[0].count("indexed") == 1
    assert file.exists()


def test_features_of_a_search_are_up_to_date_for_indexing(search: Any, videos: Path, store: Store) -> None:
    search(videos / "red.mp4", store=store)
    assert by_name(index(store, videos / "red.mp4")[1]) == {"red.mp4": "unchanged"}


def test_a_read_only_store_is_refused_before_anything_is_decoded(
    videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.catalogue, "unwritable", "no permission")
    with pytest.raises(StoreError, match="can't be written"):
        index(store, videos)


def test_thousands_of_files_that_are_no_videos(tmp_path: Path, store: Store) -> None:
    place = tmp_path / "many"
    place.mkdir()
    (place / "0.mp4").write_bytes(b"hello")
    for number in range(1, 10_000):
        os.link(place / "0.mp4", place / f"{number}.mp4")
    summary, events = index(store, place)
    assert (summary.num_others, events) == (10_000, [])


def test_the_derived_index_is_refreshed_at_the_end(videos: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        indexing, "refresh_derived", lambda store, spec, progress: seen.append(len(contents(store.folder)["sets"]))
    )
    index(store, videos)
    assert seen == [8]
    (store.folder / derived.FOLDER / "x").mkdir(parents=True)
    assert derived.drop_derived(store)
    assert not derived.drop_derived(store)


class Ears:
    """A Board that remembers; its lanes do, too."""

    def __init__(self) -> None:
        self.total = self.done = 0.0
        self.notes: list[str] = []
        self.tasks: list[str] = []
        self.is_open = False

    def open(self, task: str, total: float | None, unit: str) -> None:
        self.tasks.append(task)
        self.total, self.done, self.is_open = total or 0.0, 0.0, True

    def advance(self, amount: float) -> None:
        assert amount >= 0
        self.done += amount

    def expect(self, amount: float) -> None:
        self.total += amount

    def note(self, text: str) -> None:
        self.notes.append(text)

    def lane(self) -> Any:
        from rdmf_cli.progress import SILENT

        return SILENT

    def warn(self, message: str) -> None:
        raise AssertionError(message)

    def close(self) -> None:
        self.is_open = False


def test_progress_ends_where_it_should(videos: Path, store: Store) -> None:
    shutil.copy(videos / "red.mp4", videos / "rouge.mp4")
    ears = Ears()
    index(store, videos, board=ears)
    sizes = sum(
        (videos / p / f"{c}.mp4").stat().st_size
        for c in COLOURS
        for p in (".", "more")
        if (videos / p / f"{c}.mp4").exists()
    )
    assert ears.tasks == ["looking for videos", "indexing"]
    assert (ears.total, ears.done) == (pytest.approx(sizes), pytest.approx(sizes))  # what is recognised counts for none
    assert (ears.notes[0], ears.notes[-1]) == ("0 of 10 videos", "10 of 10 videos")
    assert not ears.is_open


def test_repeated_frames_change_features_by_less_than_is_promised(tmp_path: Path) -> None:
    """With the real encoder: slides, and a still camera with noise. docs/decisions/0007 promises 0.999."""
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.media.frames import Sampling, open_frames
    from rdmf_cli.media.repeats import Repeats, spread
    from tests.videos import run_ffmpeg

    slides, camera = tmp_path / "slides.mp4", tmp_path / "camera.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=1/5:d=20,fps=10", "-pix_fmt", "yuv420p", slides)
    still = "mandelbrot=s=640x360:r=10,trim=end_frame=1,loop=-1:1,trim=end_frame=100,noise=alls=4:allf=t"
    run_ffmpeg("-f", "lavfi", "-i", still, "-t", "10", "-pix_fmt", "yuv420p", "-crf", "26", camera)
    encoder = open_encoder("lite", models_folder=tmp_path)
    for video in (slides, camera):
        batches = open_frames(video, Sampling(2.0, *encoder.frame_size_px(640, 360))).batches(32)
        frames = np.concatenate([batch.frames for batch in batches])
        is_new = Repeats().new(frames)
        exact = encoder.encode_images(frames)
        used = spread(encoder.encode_images(frames[is_new]), is_new, exact[0])
        assert is_new.mean() <= 0.3
        assert (exact * used).sum(axis=1).min() >= 0.999
