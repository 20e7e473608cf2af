"""The derived index follows the catalogue, whatever happens to either."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.pipeline.library import index_problem, refresh
from rdmf_cli.pipeline.refresh import due_for_merging, sample_fps_of, wanted_entries
from rdmf_cli.store import Store, VideoFeatures, nearest
from rdmf_cli.store.generations import Generations, Manifest, Part
from rdmf_cli.store.nearest import Entry
from tests.pipeline.conftest import Ears

SPEC = FeatureSpec("fake", "f" * 32, 8, "2 fps/ffmpeg/1")
Put = Callable[..., None]


def features(seed: int, rows: int = 5) -> VideoFeatures:
    values = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    times_s = np.arange(rows) / 2
    return VideoFeatures(values, times_s, np.zeros(rows, np.float32), times_s, rows / 2)


@pytest.fixture
def put(store: Store) -> Put:
    def one(number: int, *, seed: int | None = None, rows: int = 5, spec: FeatureSpec = SPEC) -> None:
        seed = number if seed is None else seed
        store.save(f"{number:032x}", spec, features(seed, rows), Path(f"/videos/{number}.mp4"))

    return one


def forget(store: Store, number: int) -> None:
    with store.catalogue.writing():
        store.catalogue._connection.execute("DELETE FROM video WHERE fingerprint = ?", (f"{number:032x}",))


def generations(store: Store) -> Generations:
    return Generations(store, SPEC.fingerprint, SPEC.dim)


def indexed(store: Store) -> list[Entry]:
    """What a search would look through."""
    manifest, segments = generations(store).open_newest()
    for segment in segments:
        segment.verify()
    return [
        entry
        for part, segment in zip(manifest.parts, segments, strict=True)
        for number, entry in enumerate(segment.entries)
        if number not in part.removed
    ]


def assert_follows(store: Store) -> None:
    assert sorted(indexed(store), key=lambda e: e.video_id) == sorted(
        wanted_entries(store, SPEC).values(), key=lambda e: e.video_id
    )


def test_what_is_new_is_added_and_what_was_there_stays(store: Store, put: Put) -> None:
    put(1)
    put(2)
    refresh(store, SPEC)
    before = generations(store).read()
    put(3)
    refresh(store, SPEC)
    after = generations(store).read()
    assert after.parts[: len(before.parts)] == before.parts  # no file was written again
    assert len(after.parts) == len(before.parts) + 1
    assert_follows(store)


def test_nothing_new_writes_nothing(store: Store, put: Put) -> None:
    refresh(store, SPEC)
    assert generations(store).read() == Manifest()
    put(1)
    refresh(store, SPEC)
    before = generations(store).read()
    refresh(store, SPEC)
    put(1)  # the very same features again
    refresh(store, SPEC)
    assert generations(store).read().parts == before.parts
    assert_follows(store)


def test_removed_and_replaced(store: Store, put: Put) -> None:
    for number in range(6):
        put(number)
    refresh(store, SPEC)
    forget(store, 2)
    put(4, seed=40, rows=9)
    refresh(store, SPEC)
    assert_follows(store)
    forget(store, 0)
    put(7)  # as many as before
    refresh(store, SPEC)
    assert_follows(store)
    for number in range(8):
        forget(store, number)
    refresh(store, SPEC)
    assert indexed(store) == []


def test_random_changes(store: Store, put: Put) -> None:
    rng = np.random.default_rng(3)
    known: set[int] = set()
    for _ in range(25):
        for _ in range(int(rng.integers(0, 4))):
            number = int(rng.integers(12))
            if rng.random() < 0.35 and number in known:
                forget(store, number)
                known.discard(number)
            else:
                put(number, seed=int(rng.integers(1000)), rows=int(rng.integers(1, 9)))
                known.add(number)
        refresh(store, SPEC, compact=bool(rng.random() < 0.5))
        assert_follows(store)


def test_one_feature_set_of_each_video_counts(store: Store, put: Put) -> None:
    odd = FeatureSpec("fake", SPEC.fingerprint, 8, "0.1 fps/ffmpeg/1")
    put(1)
    refresh(store, SPEC)
    put(1, seed=10, rows=1, spec=odd)
    put(2, seed=20, rows=1, spec=odd)
    refresh(store, SPEC)
    assert_follows(store)
    assert {(e.video_id[-1], e.spec_key) for e in indexed(store)} == {("1", SPEC.key), ("2", odd.key)}


def test_other_encoders_have_an_index_of_their_own(store: Store, put: Put) -> None:
    other = FeatureSpec("other", "e" * 32, 8, "2 fps/ffmpeg/1")
    put(1)
    put(2, spec=other)
    refresh(store, SPEC)
    assert [e.video_id for e in indexed(store)] == [f"{1:032x}"]


@pytest.mark.parametrize("damage", ["flip", "empty", "gone"])
def test_a_damaged_manifest_is_built_again(store: Store, put: Put, ears: Ears, damage: str) -> None:
    put(1)
    put(2)
    refresh(store, SPEC)
    file = generations(store).folder / "manifest.json"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else b"x" + file.read_bytes()[1:])
    refresh(store, SPEC, ears)
    assert_follows(store)
    assert len(ears.warnings) == (0 if damage == "gone" else 1)
    assert len(list(file.parent.glob("*.faiss"))) == 1


def test_a_damaged_segment_is_built_again_with_the_next_change(store: Store, put: Put, ears: Ears) -> None:
    put(1)
    refresh(store, SPEC)
    [segment] = generations(store).folder.glob("*.faiss")
    put(2)
    segment.unlink()
    forget(store, 9)
    put(1, seed=11)  # more than an addition: everything is looked at
    refresh(store, SPEC, ears)
    assert_follows(store)
    assert len(ears.warnings) == 1


def test_features_that_are_damaged_are_left_out(store: Store, put: Put, ears: Ears) -> None:
    put(1)
    put(2)
    file = next((store.folder / "features").rglob("*.faiss"))
    file.write_bytes(file.read_bytes()[:-1])
    refresh(store, SPEC, ears)
    assert len(indexed(store)) == 1
    refresh(store, SPEC)
    put(1)
    put(2)
    refresh(store, SPEC)
    assert_follows(store)


def test_every_file_of_the_index_can_be_verified(store: Store, put: Put) -> None:
    put(1)
    refresh(store, SPEC)
    put(2)
    refresh(store, SPEC)
    assert index_problem(store, SPEC) is None
    for file in sorted(generations(store).folder.iterdir()):
        whole = file.read_bytes()
        file.write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
        assert index_problem(store, SPEC) is not None, file
        file.write_bytes(whole)
    assert index_problem(store, SPEC) is None


def test_many_small_segments_become_few(store: Store, put: Put) -> None:
    for number in range(40):
        put(number)
        refresh(store, SPEC)
        assert_follows(store)
    assert len(generations(store).read().parts) <= 14
    refresh(store, SPEC, compact=False)
    assert_follows(store)


def test_many_rows_are_clustered(store: Store, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CLUSTER_FROM", 400)
    for number in range(12):
        put(number, rows=50)
    refresh(store, SPEC, compact=False)
    assert not generations(store).read().parts[0].is_clustered  # a search does not wait for clusters
    refresh(store, SPEC)
    [part] = generations(store).read().parts
    assert part.is_clustered
    assert_follows(store)


def test_what_is_due() -> None:
    def flat(rows: int, removed: int = 0) -> Part:
        return Part(f"{rows}.faiss", rows, False, (), removed)

    assert due_for_merging([]) == []
    assert due_for_merging([flat(500)] * 7) == []
    assert len(due_for_merging([flat(500)] * 8 + [flat(100_000)])) == 8
    assert len(due_for_merging([flat(150_000), flat(150_000), flat(10)])) == 3
    assert due_for_merging([flat(1000, removed=300), flat(2000)]) == [flat(1000, removed=300)]
    whole = Part("c.faiss", 1_000_000, True)
    assert due_for_merging([whole, flat(100)]) == []


def test_several_at_once(store: Store, put: Put) -> None:
    for number in range(4):
        put(number)
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            with Store.open(store.folder) as own:
                for number in range(first, first + 5):
                    own.save(f"{number:032x}", SPEC, features(number), Path(f"/videos/{number}.mp4"))
                    refresh(own, SPEC)
                    indexed(own)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    refresh(store, SPEC)
    assert_follows(store)


@pytest.mark.parametrize(
    ("key", "rate"), [("f|8|2 fps/ffmpeg/1", 2.0), ("f|8|0.5 fps/decord/1", 0.5), ("f|8|odd", 2.0), ("f|8|0 fps", 2.0)]
)
def test_rate_of_a_feature_set(key: str, rate: float) -> None:
    assert sample_fps_of(key) == rate
