"""Plans of made-up videos: whole, in order, and as varied as real ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rdmf_cli.learn.synthetic.layouts import COMPILATION, ONE_TAKE, Join, Layout, LayoutConfig, Shot, draw_layout

REAL_S = np.array([2.0, 6.0, 16.0, 30.0, 88.0], np.float32)


@cache
def drawn(count: int = 400, config: LayoutConfig = LayoutConfig()) -> tuple[Layout, ...]:
    return tuple(draw_layout(np.random.default_rng([0, i]), config, REAL_S) for i in range(count))


def plan(joins: list[Join], **changes) -> Layout:
    """Three shots of 4 s, the one asked for in the middle, at 2 snippets a second."""
    shots = (Shot(0, 4, 1, 1), Shot(4, 8, 0, 2), Shot(8, 12, 2, 3))
    windows = np.array([[8.0, 16.0]], np.float32)
    layout = Layout(COMPILATION, 0.5, 24, shots, tuple(joins), np.zeros(23, bool), (), windows, True)
    return replace(layout, **changes)


def test_shots_cover_the_video_once():
    for layout in drawn():
        starts = np.array([shot.start_s for shot in layout.shots])
        ends = np.array([shot.end_s for shot in layout.shots])
        assert starts[0] == 0
        assert ends[-1] == pytest.approx(layout.num_snippets * layout.spacing_s)
        np.testing.assert_allclose(starts[1:], ends[:-1])
        assert (ends > starts).all()
        assert len(layout.joins) == len(layout.shots) - 1


def test_windows_are_where_scene_0_is_shown():
    for layout in drawn():
        if not layout.matches:
            assert layout.windows.shape == (0, 2)
            assert not layout.saliency().any()
            continue
        covered = np.zeros(2)
        windows_s = layout.windows * layout.spacing_s
        assert (layout.windows[:, 1] > layout.windows[:, 0]).all()
        assert (layout.windows[1:, 0] - layout.windows[:-1, 1] >= 1 - 1e-3).all()  # never joined by sampling
        assert layout.windows.min() >= 0
        assert layout.windows.max() <= layout.num_snippets + 1e-3
        for shot in layout.shots:
            inside = [a - 1e-4 <= shot.start_s and shot.end_s <= b + 1e-4 for a, b in windows_s]
            assert any(inside) == (shot.scene == 0)
        covered = [np.any((layout.times_s >= a - 1e-4) & (layout.times_s < b + 1e-4)) for a, b in windows_s]
        assert all(covered)  # what falls between two frames can't be found


def test_shares_add_up_and_saliency_is_soft_only_where_shots_mix():
    for layout in drawn():
        shares, black = layout.shares()
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert shares.min() >= -1e-6
        assert black.min() >= 0
        assert black.max() <= 1
    cut = plan([Join(4, "cut", 0), Join(8, "cut", 0)])
    np.testing.assert_array_equal(cut.saliency(), np.repeat([0, 1, 0], 8))
    soft = plan([Join(4, "cut", 0), Join(8, "dissolve", 1.8)]).saliency()
    assert soft[8:14].min() == 1
    assert (np.diff(soft[13:20]) <= 0).all()
    assert soft[16] == pytest.approx(0.5)
    faded = plan([Join(4, "fade", 1.8), Join(8, "cut", 0)])
    shares, black = faded.shares()
    assert black[8] == 1
    assert faded.saliency()[8] == 0
    assert faded.saliency()[12] == 1


def test_cuts_are_found_where_the_picture_changes():
    config = LayoutConfig(missed_cut=0, missed_jump=0, false_cut=0, flash=0)
    for layout in drawn(100, config):
        wanted = np.zeros(layout.num_snippets - 1, bool)
        for join in layout.joins:
            after = int(np.searchsorted(layout.times_s, join.at_s - 1e-9))
            if join.kind == "cut" and 0 < after < layout.num_snippets:
                wanted[after - 1] = True
        np.testing.assert_array_equal(layout.is_cut, wanted)
    blind = LayoutConfig(missed_cut=1, missed_jump=1, false_cut=0, flash=0)
    assert not any(layout.is_cut.any() for layout in drawn(50, blind))
    jumpy = LayoutConfig(missed_cut=1, missed_jump=1, false_cut=0.5, flash=0)
    rate = np.mean(np.concatenate([layout.is_cut for layout in drawn(50, jumpy)]))
    assert rate == pytest.approx(0.5, abs=0.05)


def test_a_flash_disturbs_a_snippet_and_looks_like_a_cut():
    layouts = drawn(200, LayoutConfig(flash=1, false_cut=0, missed_cut=1, missed_jump=1))
    seen = [layout.is_cut[flash - 1] for layout in layouts for flash in layout.flashes]
    assert all(layout.flashes for layout in layouts)
    assert np.mean(seen) == pytest.approx(0.7, abs=0.1)


def test_lengths_reach_from_half_a_second_to_minutes():
    layouts = drawn()
    dense = [layout for layout in layouts if layout.spacing_s == 0.5]
    lengths_s = np.concatenate([np.diff(layout.windows, axis=1)[:, 0] * 0.5 for layout in dense])
    everything_s = np.concatenate([np.diff(layout.windows, axis=1)[:, 0] * layout.spacing_s for layout in layouts])
    assert 2.5 < np.median(lengths_s) < 7  # the development videos: 4.8
    assert 0.12 < np.mean(lengths_s < 2) < 0.35  # 18 %
    assert everything_s.min() < 0.6
    assert everything_s.max() > 60
    assert np.mean([not layout.matches for layout in layouts]) >= 0.3
    counts = np.array([len(layout.windows) for layout in layouts if layout.matches])
    assert 0.15 < np.mean(counts > 1) < 0.4
    cuts_per_minute = [60 * layout.is_cut.sum() / layout.num_snippets / layout.spacing_s for layout in layouts]
    assert np.mean(np.array(cuts_per_minute) > 5) > 0.4
    assert {layout.spacing_s for layout in layouts} == {0.5, 1.0, 2.0}
    assert {layout.style.name for layout in layouts} == {"compilation", "film", "montage", "one-take"}


def test_lengths_of_snippets_stay_in_bounds_and_some_videos_are_long():
    config = LayoutConfig(long_share=0.5, num_snippets=(20, 40), max_snippets=90)
    counts = np.array([layout.num_snippets for layout in drawn(100, config)])
    assert counts.min() >= 20
    assert counts.max() <= 90
    assert 0.3 < np.mean(counts > 40) < 0.7


def test_long_videos_reach_from_minutes_to_an_hour_and_are_sampled_as_a_search_does():
    layouts = drawn(80, LayoutConfig(hour_share=1.0))
    lengths_s = np.array([layout.num_snippets * layout.spacing_s for layout in layouts])
    assert lengths_s.min() >= 150 - 1
    assert 3000 < lengths_s.max() <= 3600
    assert 300 < np.median(lengths_s) < 1200
    assert {layout.spacing_s for layout in layouts if layout.num_snippets * layout.spacing_s > 600} == {1.0}
    assert {layout.spacing_s for layout in layouts if layout.num_snippets * layout.spacing_s <= 600} == {0.5}
    some = drawn(400, LayoutConfig(hour_share=0.1))
    assert 0.05 < np.mean([layout.num_snippets > LayoutConfig.max_snippets for layout in some]) < 0.15


def test_one_take_has_hardly_a_cut():
    config = LayoutConfig(styles=(ONE_TAKE,), false_cut=0, flash=0)
    kinds = [join.kind for layout in drawn(60, config) for join in layout.joins]
    assert np.mean([kind == "soft" for kind in kinds]) > 0.9


def test_whole_videos():
    for layout in drawn(30, LayoutConfig(whole=1, no_match=0)):
        np.testing.assert_allclose(layout.windows, [[0, layout.num_snippets]])
        assert all(shot.scene == 0 for shot in layout.shots)


def test_detected_cuts_lie_where_they_are_and_before_the_frame_that_shows_them():
    for layout in drawn(100):
        edges, found = np.flatnonzero(layout.is_cut) + 1, layout.cut_at
        assert np.isnan(found[~layout.is_cut]).all()
        assert ((edges - 1 <= found[edges - 1]) & (found[edges - 1] <= edges)).all()
        true = [join.at_s / layout.spacing_s for join in layout.joins if join.kind == "cut"]
        for place in true:
            after = int(np.ceil(place - 1e-9))
            if after in edges and sum(after - 1 < other <= after for other in true) == 1:
                assert abs(found[after - 1] - place) < 1e-3
