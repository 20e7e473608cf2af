from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from rdmf_cli.fusion.standout import Candidate, StandoutConfig, candidates, choose, saliency

CONFIG = StandoutConfig()
Array = NDArray[np.float64]


def scenes(*lengths: int, dim: int = 64, noise: float = 0.15, seed: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """Shots of so many snippets, each around a direction of its own: features (T, D), is_cut (T-1,)."""
    random = np.random.default_rng(seed)
    common = random.standard_normal(dim)
    rows, shots = [], []
    for place, length in enumerate(lengths):
        centre = common + random.standard_normal(dim)
        rows += [centre + noise * random.standard_normal(dim) for _ in range(length)]
        shots += [place] * length
    features = np.array(rows)
    return features / np.linalg.norm(features, axis=1, keepdims=True), np.diff(shots) > 0


def test_the_rare_scene_stands_out() -> None:
    features, is_cut = scenes(40, 10, 40)
    features[50:] = features[:40]  # the first scene again
    values = saliency(features, is_cut, 0.5, CONFIG)
    assert values.shape == (90,)
    assert ((values >= 0) & (values <= 1)).all()
    assert values[40:50].mean() > values[:40].mean() + 0.2
    assert values[40:50].mean() > values[50:].mean() + 0.2


def test_a_flash_does_not() -> None:
    features, is_cut = scenes(40, 1, 40, 10)
    features[41:81] = features[:40]
    values = saliency(features, is_cut, 0.5, CONFIG)
    assert values[81:].mean() > values[40]


def test_action_beats_stillness() -> None:
    still, _ = scenes(60, noise=0.02, seed=1)
    moving, _ = scenes(60, noise=0.5, seed=1)
    features = still.copy()
    features[20:30] = moving[20:30]
    values = saliency(features, np.zeros(59, bool), 0.5, StandoutConfig(distinctiveness=0, representativeness=0))
    assert values[21:29].min() > values[35:].max()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_video_in_which_nothing_differs(count: int) -> None:
    features = np.tile(np.eye(8)[0], (count, 1))
    assert saliency(features, np.zeros(count - 1, bool), 0.5, CONFIG) == pytest.approx(0.5)
    assert len(saliency(features[:0], np.zeros(0, bool), 0.5, CONFIG)) == 0


def test_candidates_stay_inside_their_shots() -> None:
    features, is_cut = scenes(20, 6, 1, 13)
    starts_s = np.arange(40) / 2
    borders_s = [0.0, 10.0, 13.0, 13.5, 20.0]
    found = candidates(0, features, saliency(features, is_cut, 0.5, CONFIG), starts_s, borders_s, 4.0)
    for one in found:
        assert any(a <= one.start_s < one.end_s <= b for a, b in pairwise(borders_s))
        assert one.end_s - one.start_s <= 4 + 1e-9
        assert one.start_s <= one.peak_s <= one.end_s
        assert 0 <= one.score <= 1
        assert np.linalg.norm(one.vector) == pytest.approx(1)
    assert not any(13 <= one.start_s < 13.5 for one in found)  # too short to be shown
    assert {one.end_s for one in found} >= {10.0, 13.0, 20.0}


def candidate(start_s: float, score: float, direction: int, source: int = 0) -> Candidate:
    return Candidate(source, start_s, start_s + 4, start_s + 1, score, np.eye(8)[direction])


def test_the_choice_is_diverse() -> None:
    same = [candidate(4.0 * i, 0.9 - 0.01 * i, 0) for i in range(10)]
    others = [candidate(60, 0.5, 1), candidate(70, 0.4, 2)]
    assert choose(same + others, 12, CONFIG) == [same[0], *others]
    greedy = choose(same + others, 12, StandoutConfig(diversity=0))
    assert greedy == same[:3]


def test_the_choice_does_not_overlap_and_stops_when_full() -> None:
    found = [candidate(i * 1.0, 0.5 + 0.01 * (i % 7), i % 8) for i in range(40)]
    chosen = choose(found, 18, CONFIG)
    assert len(chosen) == 5  # the last one fills up
    times = sorted((one.start_s, one.end_s) for one in chosen)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    assert choose(found, 18, CONFIG) == chosen
    more = choose(found, 8, CONFIG, tuple(chosen))
    assert not {one.start_s for one in more} & {one.start_s for one in chosen}
    assert choose([], 10, CONFIG) == []


def test_times_of_different_videos_do_not_overlap() -> None:
    found = [candidate(0, 0.9, 0, source=0), candidate(0, 0.8, 1, source=1)]
    assert choose(found, 100, CONFIG) == found
