"""One ranking of moments of many videos."""

from __future__ import annotations

import numpy as np

from rdmf_cli.moments import Moment
from rdmf_cli.pipeline.ranking import Candidate, rank, shows_the_same, thinned


def unit(seed: int, rows: int = 6) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def candidate(video: str, score: float, seed: int, rows: np.ndarray | None = None) -> Candidate:
    return Candidate(video, Moment(0, 3, score, 1), score, unit(seed) if rows is None else rows)


def test_best_first_and_no_video_crowds_out_the_others() -> None:
    many = [candidate("a", 0.9 - n / 100, n) for n in range(10)] + [candidate("b", 0.5, 50), candidate("c", 0.4, 60)]
    hits = rank(many, 5, 2, 0.9)
    assert [hit.candidate.video_id for hit in hits] == ["a", "a", "b", "c"]
    assert len(rank(many, 5, 0, 0.9)) == 5
    assert {hit.candidate.video_id for hit in rank(many, 5, 0, 0.9)} == {"a"}
    assert len(rank(many, 1, 2, 0.9)) == 1
    assert rank([], 5, 2, 0.9) == []


def test_the_same_scene_in_several_videos_is_one_hit() -> None:
    scene = unit(1)
    noisy = scene + 0.05 * unit(2)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    found = [candidate("a", 0.9, 0, scene), candidate("b", 0.8, 0, noisy), candidate("c", 0.7, 3)]
    hits = rank(found, 5, 2, 0.9)
    assert [hit.candidate.video_id for hit in hits] == ["a", "c"]
    assert [other.video_id for other in hits[0].also] == ["b"]
    assert len(rank(found, 5, 2, 2.0)) == 3  # nothing is merged


def test_a_part_of_a_longer_moment_is_the_same() -> None:
    long, short = unit(1, 20), unit(1, 20)[5:9]
    assert shows_the_same(candidate("a", 1, 0, long), candidate("b", 1, 0, short), 0.9)
    assert shows_the_same(candidate("a", 1, 0, short), candidate("b", 1, 0, long), 0.9)
    assert not shows_the_same(candidate("a", 1, 0, long), candidate("b", 1, 9), 0.9)


def test_scenes_of_one_video_stay_apart() -> None:
    scene = unit(1)
    assert len(rank([candidate("a", 0.9, 0, scene), candidate("a", 0.8, 0, scene)], 5, 2, 0.9)) == 2


def test_moments_between_two_snippets_have_nothing_to_compare() -> None:
    nothing = np.zeros((0, 16), np.float32)
    assert not shows_the_same(candidate("a", 1, 0, nothing), candidate("b", 1, 0, nothing), 0.9)


def test_long_moments_are_thinned() -> None:
    assert len(thinned(unit(0, 1000))) == 32
    np.testing.assert_array_equal(thinned(unit(0, 5)), unit(0, 5))
