"""A segment of the derived index: exact where it is small, nearly so where it is clustered, never silently wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.store import nearest
from rdmf_cli.store.nearest import DamagedIndex, Entry, Segment, batches_of, build, open_segment, write

DIM = 16
COUNTS = (7, 1, 30, 12)


def unit(seed: int, *shape: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def entry(number: int, count: int) -> Entry:
    return Entry(f"{number:032x}", "key", f"{number:064x}", count)


ENTRIES = [entry(number, count) for number, count in enumerate(COUNTS)]
ROWS = {e.video_id: unit(number, e.num_rows, DIM) for number, e in enumerate(ENTRIES)}


def load(one: Entry) -> tuple[np.ndarray, float] | None:
    return ROWS[one.video_id], one.num_rows / 2


def made(tmp_path: Path) -> Segment:
    file = tmp_path / "a.faiss"
    write(build(ENTRIES, load, DIM), file)
    return open_segment(file, DIM)


def many(num_videos: int = 60, rows: int = 50) -> tuple[list[Entry], dict[str, np.ndarray]]:
    """Enough for clusters; neighbouring rows alike, as in shots."""
    entries = [entry(number, rows) for number in range(num_videos)]
    values = {}
    for number, one in enumerate(entries):
        shots = np.repeat(unit(1000 + number, rows // 10, DIM), 10, axis=0)
        mixed = shots + 0.3 * unit(2000 + number, rows, DIM)
        values[one.video_id] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return entries, values


@pytest.mark.parametrize("from_file", [False, True])
def test_a_small_segment_is_exact(tmp_path: Path, from_file: bool) -> None:
    segment = made(tmp_path) if from_file else build(ENTRIES, load, DIM)
    assert (segment.num_rows, segment.is_clustered) == (sum(COUNTS), False)
    assert segment.lengths_s.tolist() == [count / 2 for count in COUNTS]
    everything = np.concatenate([ROWS[one.video_id] for one in ENTRIES])
    places = [(number, row) for number, count in enumerate(COUNTS) for row in range(count)]
    for seed in range(5):
        query = unit(100 + seed, DIM)
        hits = segment.search(query, 10)
        order = np.argsort(-(everything @ query))[:10]
        assert list(zip(hits.entry.tolist(), hits.row.tolist(), strict=True)) == [places[i] for i in order]
        np.testing.assert_allclose(hits.cosine, (everything @ query)[order], atol=2e-3)


def test_only_allowed_videos(tmp_path: Path) -> None:
    segment = made(tmp_path)
    hits = segment.search(unit(5, DIM), 100, np.array([True, False, False, True]))
    assert set(hits.entry.tolist()) == {0, 3}
    assert len(hits.row) == COUNTS[0] + COUNTS[3]
    assert len(segment.search(unit(5, DIM), 100, np.zeros(4, bool)).row) == 0
    assert len(segment.search(unit(5, DIM), 1000).row) == sum(COUNTS)


def test_clusters_find_nearly_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CLUSTER_FROM", 2000)
    monkeypatch.setattr(nearest, "_MIN_PROBED", 16)
    entries, values = many()
    write(build(entries, lambda one: (values[one.video_id], 25.0), DIM), tmp_path / "c.faiss")
    segment = open_segment(tmp_path / "c.faiss", DIM)
    assert segment.is_clustered
    everything = np.concatenate([values[one.video_id] for one in entries])
    shares = []
    for seed in range(20):
        query = unit(seed, DIM)
        hits = segment.search(query, 50)
        exact = set(np.argsort(-(everything @ query))[:50].tolist())
        shares.append(len(exact & set((hits.entry * 50 + hits.row).tolist())) / 50)
    assert np.mean(shares) > 0.9
    one = np.arange(len(entries)) == 7
    assert len(segment.search(unit(1, DIM), 100, one).row) == 50  # a narrow filter looks into all lists


def test_videos_without_features_are_left_out() -> None:
    segment = build(ENTRIES, lambda one: None if one == ENTRIES[2] else load(one), DIM)
    assert segment.entries == (ENTRIES[0], ENTRIES[1], ENTRIES[3])
    changed = build(ENTRIES, lambda one: (ROWS[one.video_id][:-1], 1.0) if one == ENTRIES[0] else load(one), DIM)
    assert ENTRIES[0] not in changed.entries
    assert build([], load, DIM).num_rows == 0


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "a.faiss"
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, 5, 60, len(whole) - 1, len(whole) - 60, *rng.integers(0, len(whole), 60).tolist()]:
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(data))
        with pytest.raises(DamagedIndex):
            open_segment(file, DIM).search(unit(0, DIM), 5)
        with pytest.raises(DamagedIndex):
            open_segment(file, DIM).verify()
    file.write_bytes(whole)
    open_segment(file, DIM).verify()


@pytest.mark.parametrize("size", [0, 10, 200, -1])
def test_a_file_cut_off(tmp_path: Path, size: int) -> None:
    made(tmp_path)
    file = tmp_path / "a.faiss"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DamagedIndex):
        open_segment(file, DIM)


def test_another_dimension_or_no_file(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(DamagedIndex):
        open_segment(tmp_path / "a.faiss", DIM + 1)
    with pytest.raises(FileNotFoundError):
        open_segment(tmp_path / "none.faiss", DIM)


def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "MAX_ROWS", 20)
    assert list(batches_of(ENTRIES)) == [ENTRIES[:2], [ENTRIES[2]], [ENTRIES[3]]]
    assert list(batches_of([])) == []
