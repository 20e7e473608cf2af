"""From a video to its features: once per content, encoder and sampling; whatever the store does, there is an answer."""

from __future__ import annotations

import contextlib
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.errors import StoreError, VideoError
from rdmf_cli.media.frames import DecodeReport, FrameBatch
from rdmf_cli.pipeline import index
from rdmf_cli.pipeline.answer import Outcome, SearchOptions
from rdmf_cli.pipeline.index import feature_spec, index_video
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import Ears

Search = Callable[..., Outcome]


def assert_same_answers(one: Outcome, other: Outcome) -> None:
    assert len(one.answers) == len(other.answers) > 0
    for a, b in zip(one.answers, other.answers, strict=True):
        assert a.moments == b.moments
        assert (a.video_id, a.query, a.relevance, a.duration_s) == (b.video_id, b.query, b.relevance, b.duration_s)
        np.testing.assert_array_equal(a.times_s, b.times_s)
        np.testing.assert_array_equal(a.saliency, b.saliency)


def test_the_second_search_decodes_and_encodes_nothing(
    search: Search, colours: Path, store: Store, encoder: FakeEncoder, decoders: list[Any]
) -> None:
    first = search(colours, store=store)
    assert len(decoders) == 1
    assert first.timings.decode_s > 0
    assert first.timings.encode_s > 0
    counted = encoder.num_images
    second = search(colours, store=store)
    assert (len(decoders), encoder.num_images) == (1, counted)
    assert (second.timings.decode_s, second.timings.encode_s) == (0, 0)
    assert_same_answers(first, second)


def test_another_query_encodes_no_picture_again(
    search: Search, colours: Path, store: Store, encoder: FakeEncoder, decoders: list[Any]
) -> None:
    search(colours, store=store)
    counted = encoder.num_images, encoder.num_texts
    search(colours, ["something blue", "a green leaf"], store=store)
    assert (encoder.num_images, encoder.num_texts) == (counted[0], counted[1] + 2)
    assert len(decoders) == 1


def test_moved_and_copied_files_are_known_again(
    search: Search, colours: Path, store: Store, decoders: list[Any], tmp_path: Path
) -> None:
    here = tmp_path / "here.mp4"
    shutil.copy(colours, here)
    first = search(here, store=store)
    there = here.rename(tmp_path / "moved.mov")
    shutil.copy(there, tmp_path / "copy.mp4")
    (tmp_path / "linked.mp4").symlink_to(there)
    again = search([there, tmp_path / "copy.mp4", tmp_path / "linked.mp4"], store=store)
    assert len(decoders) == 1
    assert len({answer.video_id for answer in again.answers}) == 1
    assert [answer.info.path.name for answer in again.answers] == ["moved.mov", "copy.mp4", "linked.mp4"]
    assert again.answers[1].moments == first.answers[0].moments


def test_a_file_with_new_content_is_another_video(
    search: Search, colours: Path, store: Store, decoders: list[Any], tmp_path: Path
) -> None:
    video = tmp_path / "video.mp4"
    shutil.copy(colours, video)
    one = search(video, store=store).answers[0]
    video.write_bytes(colours.read_bytes() + b"\0" * 8)  # the same pictures, but who knows
    other = search(video, store=store).answers[0]
    assert one.video_id != other.video_id
    assert len(decoders) == 2


def test_encoders_rates_and_decoders_are_not_mixed_up(
    search: Search, colours: Path, store: Store, decoders: list[Any]
) -> None:
    other = FakeEncoder(seed=1)
    assert other.name == FakeEncoder().name
    ways: list[dict[str, Any]] = [{}, {"encoder": other}, {"sample_fps": 5.0}, {"encoder": other, "sample_fps": 5.0}]
    first = [search(colours, store=store, **way) for way in ways]
    assert len(decoders) == len(ways)
    again = [search(colours, store=store, **way) for way in ways]
    assert len(decoders) == len(ways)
    for one, two in zip(first, again, strict=True):
        assert_same_answers(one, two)
    assert [len(outcome.answers[0].times_s) for outcome in first] == [24, 24, 60, 60]
    keys = {feature_spec(e, fps, d).key for e in (other, FakeEncoder()) for fps in (1, 2) for d in ("ffmpeg", "decord")}
    assert len(keys) == 8


def test_without_a_store(search: Search, colours: Path, store: Store, decoders: list[Any]) -> None:
    assert_same_answers(search(colours), search(colours))
    assert len(decoders) == 2
    kept = search(colours, store=store).answers[0]
    assert kept.moments[0].start_s == search(colours).answers[0].moments[0].start_s


def test_a_store_that_fails_costs_a_warning(
    search: Search, colours: Path, store: Store, ears: Ears, decoders: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = search(colours)

    def full(*arguments: Any) -> None:
        raise StoreError("/s: No space left on device", hint="free some")

    monkeypatch.setattr(store, "save", full)
    found = search(colours, store=store)
    assert_same_answers(found, expected)
    [warning] = ears.warnings
    assert "No space left on device" in warning
    assert "\n" not in warning
    search(colours, store=store)
    assert len(decoders) == 3  # nothing was kept


def test_a_damaged_feature_file_is_made_again(
    search: Search, colours: Path, store: Store, ears: Ears, decoders: list[Any]
) -> None:
    first = search(colours, store=store)
    [file] = (path for path in (store.folder / "features").rglob("*") if path.is_file())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    assert_same_answers(search(colours, store=store), first)
    assert len(decoders) == 2
    assert len(ears.warnings) == 1
    search(colours, store=store)
    assert len(decoders) == 2


class Interrupted(FakeEncoder):
    """Ctrl-C during the third batch of a video."""

    calls = 0

    def encode_images(self, frames: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.calls == 4:  # the first call is the calibration
            raise KeyboardInterrupt
        return super().encode_images(frames)


def test_ctrl_c_leaves_a_good_store_and_no_child(
    search: Search, colours: Path, tmp_path: Path, ears: Ears, decoders: list[Any]
) -> None:
    with Store.open(tmp_path / "store") as store, pytest.raises(KeyboardInterrupt):
        search(colours, store=store, encoder=Interrupted(), batch_size=2)
    assert ears.running == 0  # no bar is left behind
    [child] = decoders
    assert child.wait(timeout_s=5) is not None
    assert not [path for path in (tmp_path / "store").rglob("*.partial")]
    with Store.open(tmp_path / "store") as store:
        assert_same_answers(search(colours, store=store), search(colours, store=store))
    assert len(decoders) == 2


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_the_size_of_batches_does_not_matter(search: Search, colours: Path, batch_size: int) -> None:
    assert_same_answers(search(colours, batch_size=batch_size), search(colours))


class Source:
    """A FrameSource of made-up frames that knows how many of its batches are still alive."""

    def __init__(self, info: Any, num_batches: int) -> None:
        self.info = info
        self.report = DecodeReport(duration_s=num_batches / 2)
        self.num_batches = num_batches
        self.handed_out: list[weakref.ref[np.ndarray]] = []
        self.most_alive = 0
        self.is_closed = False

    def batches(self, batch_size: int) -> Iterator[FrameBatch]:
        for i in range(self.num_batches):
            frames = np.full((1, 32, 32, 3), 20 * i % 256, np.uint8)
            self.handed_out.append(weakref.ref(frames))
            self.most_alive = max(self.most_alive, sum(ref() is not None for ref in self.handed_out))
            batch = FrameBatch(frames, np.array([i / 2]), np.zeros(1, np.float32), np.array([i / 2]))
            del frames
            yield batch
            del batch

    def close(self) -> None:
        self.is_closed = True


def test_batches_are_used_up_as_they_come(colours: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[Source] = []

    def open_frames(info: Any, sampling: Any, *, backend: str) -> Source:
        sources.append(Source(info, 50))
        return sources[-1]

    monkeypatch.setattr(index, "open_frames", open_frames)
    indexed = index_video(colours, encoder=encoder, store=None, options=SearchOptions())
    assert len(indexed.features.features) == 50
    assert sources[0].most_alive <= 2  # one being encoded, one being made
    assert sources[0].is_closed


def test_a_source_is_closed_whatever_happens(
    colours: Path, encoder: FakeEncoder, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(None, 3)
    monkeypatch.setattr(index, "open_frames", lambda info, sampling, backend: source)
    monkeypatch.setattr(encoder, "encode_images", lambda frames: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        index_video(colours, encoder=encoder, store=None, options=SearchOptions(), progress=ears)
    assert source.is_closed
    assert ears.running == 0


def test_warnings_about_a_video_are_told_again(
    search: Search, colours: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = index.open_frames

    def with_trouble(*arguments: Any, **options: Any) -> Any:
        source = real(*arguments, **options)
        batches = source.batches

        def told(size: int) -> Iterator[FrameBatch]:
            yield from batches(size)
            source.report.warnings.append("2 frames are damaged")

        source.batches = told
        return source

    monkeypatch.setattr(index, "open_frames", with_trouble)
    for _ in range(2):
        assert search(colours, store=store).answers[0].warnings == ("2 frames are damaged",)


def test_a_broken_video_leaves_nothing_in_the_store(search: Search, tmp_path: Path, store: Store) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 5000)
    with pytest.raises(VideoError):
        search(broken, store=store)
    assert not [path for path in (store.folder / "features").rglob("*") if path.is_file()]


def test_the_rate_depends_on_the_length(colours: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def open_frames(info: Any, sampling: Any, *, backend: str) -> Source:
        seen.append(sampling.sample_fps)
        return Source(info, 1)

    real = index.probe
    monkeypatch.setattr(index, "open_frames", open_frames)
    for duration_s in (10.0, 600.0, 601.0):
        monkeypatch.setattr(index, "probe", lambda path, d=duration_s: replace(real(path), duration_s=d))
        index_video(colours, encoder=encoder, store=None, options=SearchOptions())
    index_video(colours, encoder=encoder, store=None, options=SearchOptions(sample_fps=0.5))
    assert seen == [2, 2, 1, 0.5]


def test_two_stores_hold_the_same_numbers(search: Search, colours: Path, tmp_path: Path) -> None:
    """Half precision is read back before the first answer, so no answer depends on who was first."""
    outcomes = []
    for name in ("a", "b"):
        with contextlib.closing(Store.open(tmp_path / name)) as store:
            outcomes.append(search(colours, store=store))
    assert_same_answers(*outcomes)
