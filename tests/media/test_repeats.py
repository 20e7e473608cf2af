"""Frames that repeat the one before: what counts as one, and that errors can't add up."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.media.repeats import BLOCK_PX, LIMIT, Repeats, largest_difference, spread


def noise(seed: int, shape: tuple[int, ...] = (50, 70, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    apart = np.abs(one.astype(float) - other)
    return max(
        apart[y : y + BLOCK_PX, x : x + BLOCK_PX, colour].mean()
        for y in range(0, one.shape[0], BLOCK_PX)
        for x in range(0, one.shape[1], BLOCK_PX)
        for colour in range(3)
    )


@pytest.mark.parametrize("shape", [(48, 64, 3), (50, 70, 3), (7, 9, 3)])
def test_the_largest_difference_of_any_block(shape: tuple[int, int, int]) -> None:
    one, other = noise(1, shape), noise(2, shape)
    assert largest_difference(one, other) == pytest.approx(by_hand(one, other))
    assert largest_difference(one, one) == 0


def test_the_quick_way_out_only_says_different_of_what_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        one = noise(3)
        change = rng.integers(0, rng.integers(1, 30), one.shape)
        other = np.clip(one.astype(int) + change, 0, 255).astype(np.uint8)
        if largest_difference(one, other, LIMIT) > LIMIT:
            assert by_hand(one, other) > LIMIT
        else:
            assert by_hand(one, other) <= LIMIT


def test_a_still_picture_is_encoded_once_also_across_batches() -> None:
    still, repeats = np.repeat(noise(1)[None], 5, axis=0), Repeats()
    assert repeats.new(still).tolist() == [True, False, False, False, False]
    assert repeats.new(still).tolist() == [False] * 5
    assert repeats.new(noise(2)[None]).tolist() == [True]
    assert repeats.new(still[:1]).tolist() == [True]


def test_a_small_thing_that_moves_is_never_passed_over() -> None:
    ground = np.full((20, 96, 96, 3), 120, np.uint8)
    for place in range(20):
        ground[place, 40:46, 4 * place : 4 * place + 6] = 30  # 6 x 6 px in a picture of 96 x 96
    assert Repeats().new(ground).all()


def test_slow_changes_add_up_and_can_not_drift() -> None:
    fade = np.broadcast_to(np.arange(100, 160, dtype=np.uint8)[:, None, None, None], (60, 16, 16, 3))
    is_new = Repeats().new(fade)
    kept = fade[np.flatnonzero(is_new)[np.cumsum(is_new) - 1], 0, 0, 0].astype(int)
    assert np.abs(kept - fade[:, 0, 0, 0]).max() <= LIMIT
    assert is_new.sum() == pytest.approx(60 / (int(LIMIT) + 1), abs=1)


def test_spread_gives_each_frame_its_own_row_or_that_of_the_frame_it_repeats() -> None:
    encoded = np.array([[1.0], [2.0]], np.float32)
    last = np.array([9.0], np.float32)
    is_new = np.array([False, True, False, True, False])
    assert spread(encoded, is_new, last).ravel().tolist() == [9, 1, 1, 2, 2]
    assert spread(encoded[:0], np.zeros(2, bool), last).ravel().tolist() == [9, 9]
