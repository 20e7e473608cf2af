"""Simulated timelines: reproducible, by group, and as easy or as hard as the encoder that is made up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rdmf_cli.fusion.inputs import INPUT_NAMES, MAX_INPUT, QUERY_NAMES
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.synthetic import timelines
from rdmf_cli.learn.synthetic.layouts import COMPILATION, Join, Layout, LayoutConfig, Shot
from rdmf_cli.learn.synthetic.rendering import MotionConfig, render, unit
from rdmf_cli.learn.synthetic.timelines import GroupBank, Null, TimelineConfig, timeline_example

REAL_S = np.array([2.0, 6.0, 16.0, 30.0], np.float32)
DIM, GROUPS, MEMBERS = 48, 60, 4
AFFINITY, ABSOLUTE = INPUT_NAMES.index("affinity"), INPUT_NAMES.index("absolute")


@cache
def bank(*, of_words: bool = True, num_views: int = 3) -> GroupBank:
    """Groups of vectors around a centre each; with pictures, those have a gap to the texts."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(GROUPS), MEMBERS)
    meanings = unit(rng.standard_normal((GROUPS, DIM)).astype(np.float32))
    shared = unit(rng.standard_normal((2, DIM)).astype(np.float32))
    noise = 0.08 * rng.standard_normal((len(group), DIM)).astype(np.float32)
    texts = unit(meanings[group] + noise + 0.5 * shared[0])
    views, view_group = texts[:, None], group
    if not of_words:
        view_group = np.arange(GROUPS)
        path = 0.05 * rng.standard_normal((GROUPS, num_views, DIM)).astype(np.float32)
        views = unit(meanings[:, None] + path + 0.8 * shared[1])
    return GroupBank(
        texts=texts,
        text_group=group,
        sentences=tuple(f"{g} in the words of {i}" for i, g in enumerate(group)),
        views=views,
        view_group=view_group,
        is_label=np.arange(GROUPS) % 5 == 0,
        of_words=of_words,
    )


@cache
def examples(count: int, config: TimelineConfig, of_words: bool = True) -> tuple[Example, ...]:
    found = bank(of_words=of_words)
    return tuple(timeline_example(found, REAL_S, config, 7, i, "x") for i in range(count))


def separation(config: TimelineConfig, of_words: bool = True) -> float:
    """Mean affinity inside the windows less that outside, over examples."""
    apart = []
    for example in examples(30, config, of_words):
        inside = example.saliency > 0.5
        if inside.any() and not inside.all():
            row = example.values[:, AFFINITY]
            apart.append(row[inside].mean() - row[~inside].mean())
    return float(np.mean(apart))


@pytest.mark.parametrize("of_words", [True, False])
def test_examples_are_whole(of_words):
    for example in examples(30, TimelineConfig(), of_words):
        length = len(example.values)
        assert example.values.shape == (length, len(INPUT_NAMES))
        assert example.values.dtype == np.float32
        assert example.query.shape == (len(QUERY_NAMES),)
        assert example.distance.shape == example.is_cut.shape == (length - 1,)
        assert np.isfinite(example.values).all()
        assert np.abs(example.values).max() <= MAX_INPUT
        assert (example.distance >= 0).all()
        assert (len(example.windows) > 0) == example.name.endswith("-match")
        assert example.saliency.any() == (len(example.windows) > 0)
        if len(example.windows):
            asked = int(example.text.split(" in ")[0])
            assert 0 <= asked < GROUPS


def test_an_example_is_a_function_of_seed_and_number():
    again = timeline_example(bank(), REAL_S, TimelineConfig(), 7, 3, "x")
    other = timeline_example(bank(), REAL_S, TimelineConfig(), 8, 3, "x")
    first = examples(30, TimelineConfig())[3]
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.windows, again.windows)
    assert first.text == again.text
    assert first.values.shape != other.values.shape or not np.array_equal(first.values, other.values)


def test_features_are_kept_where_a_model_wants_to_see_them():
    one = examples(3, TimelineConfig())[2]
    seen = examples(3, TimelineConfig(keep_features=True))[2]
    assert one.features is None
    assert one.words is None
    assert seen.features is not None
    assert seen.words is not None
    np.testing.assert_array_equal(one.values, seen.values)
    features, words = seen.features.astype(np.float32), seen.words.astype(np.float32)
    assert features.shape == (len(seen.values), len(words))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=2e-3)
    ranks = np.argsort(np.argsort(features @ words)) / len(features)
    rank_in_video = seen.values[:, INPUT_NAMES.index("rank_in_video")]
    assert np.corrcoef(ranks, rank_in_video)[0, 1] > 0.99


def test_a_strong_encoder_tells_more_apart_than_a_weak_one():
    weak, strong = (TimelineConfig(strength=(s, s), sharpened=share) for s, share in ((0.2, 0.0), (0.97, 1.0)))
    assert separation(weak) < 0.6 * separation(strong)
    assert separation(weak) > 0
    assert separation(strong) > 1


def test_confusion_weakens_real_pictures_and_sharpening_helps_them():
    plain = separation(TimelineConfig(), of_words=False)
    confused = separation(TimelineConfig(confusion=(2.0, 2.0)), of_words=False)
    assert confused < 0.75 * plain


def test_saliency_and_windows_agree():
    config = TimelineConfig(layout=LayoutConfig(styles=(replace(COMPILATION, fade=0.0),)))
    for example in examples(30, config):
        inside = np.zeros(len(example.values), bool)
        starts = np.arange(len(example.values))
        for first, last in example.windows:
            inside |= (starts >= first - 1e-3) & (starts < last)
        clear = (example.saliency < 0.02) | (example.saliency > 0.98)
        np.testing.assert_array_equal((example.saliency > 0.5)[clear & inside], True)
        assert (example.saliency[clear & ~inside] < 0.5).all()


def test_queries_without_a_match_ask_for_what_is_not_seen():
    config = TimelineConfig(layout=LayoutConfig(no_match=1.0))
    found = bank()
    kinds = []
    for number in range(40):
        rng = np.random.default_rng([7, number])
        layout = timelines.draw_layout(rng, config.layout, REAL_S)
        cast = timelines._cast(rng, found, layout, config)
        asked = found.text_group[cast.query]
        seen = {int(found.view_group[row]) for rows in cast.pictures for row in rows}
        assert asked not in seen
        kinds.append(cast.match)
        likeness = found.means[sorted(seen)] @ found.means[asked]
        assert likeness.max() < config.most_alike
    assert set(kinds) == {"near", "far"}


def test_the_query_is_never_one_of_its_own_pictures():
    config = TimelineConfig(layout=LayoutConfig(no_match=0.0))
    found = bank()
    for number in range(40):
        rng = np.random.default_rng([3, number])
        layout = timelines.draw_layout(rng, config.layout, REAL_S)
        cast = timelines._cast(rng, found, layout, config)
        wanted = found.text_group[cast.query]
        for shot, rows in zip(layout.shots, cast.pictures, strict=True):
            assert cast.query not in rows
            assert all((found.view_group[row] == wanted) == (shot.scene == 0) for row in rows)


def test_an_encoder_with_a_calibration_keeps_it():
    known = replace(bank(of_words=False), null=Null(bank().texts[:20], 0.3, 0.2))
    shifted = replace(known, null=Null(bank().texts[:20], 0.5, 0.2))
    config = TimelineConfig(bank_size=(20, 20))
    first, second = (timeline_example(b, REAL_S, config, 7, 0, "x") for b in (known, shifted))
    difference = first.values[:, ABSOLUTE] - second.values[:, ABSOLUTE]
    np.testing.assert_allclose(difference, 1.0, atol=1e-4)


def test_unrelated_pictures_are_about_0_in_null_deviations():
    config = TimelineConfig(layout=LayoutConfig(no_match=1.0), near_query=0.0)
    values = np.concatenate([example.values[:, ABSOLUTE] for example in examples(30, config)])
    assert abs(np.median(values)) < 1  # weak encoders see something of everything in all they see
    assert 0.5 < values.std() < 2


# --- rendering --------------------------------------------------------------------------------------------------------


def plan(*joins: Join, still: float = 0.0) -> tuple[Layout, MotionConfig]:
    style = replace(COMPILATION, sameness=(0.0, 0.0))
    shots = (Shot(0, 10, 1, 1), Shot(10, 20, 0, 2))
    layout = Layout(style, 0.5, 40, shots, joins, np.zeros(39, bool), (), np.array([[20, 40]], np.float32), True)
    return layout, MotionConfig(still=still, static=1.0, distracted=0.0)


def rendered(layout: Layout, motion: MotionConfig) -> np.ndarray:
    axes = np.eye(DIM, dtype=np.float32)
    return render(np.random.default_rng(0), layout, [axes[:1], axes[1:2]], axes[2], bank().palette, motion)


def test_still_shots_are_their_pictures():
    axes = np.eye(DIM, dtype=np.float32)
    found = rendered(*plan(Join(10, "cut", 0), still=1.0))
    np.testing.assert_allclose(found[:20], np.repeat(axes[:1], 20, axis=0), atol=1e-6)
    np.testing.assert_allclose(found[20:], np.repeat(axes[1:2], 20, axis=0), atol=1e-6)


def test_a_dissolve_mixes_and_a_fade_goes_through_black():
    mixed = rendered(*plan(Join(10, "dissolve", 2.0), still=1.0))
    assert mixed[20, 0] == pytest.approx(mixed[20, 1])
    assert mixed[19, 0] > mixed[19, 1] > 0
    faded = rendered(*plan(Join(10, "fade", 2.0), still=1.0))
    np.testing.assert_allclose(faded[20], bank().palette.black, atol=1e-5)


def test_frames_of_a_shot_move_less_than_a_cut_and_forget_slowly():
    axes = np.eye(DIM, dtype=np.float32)
    layout, motion = plan(Join(10, "cut", 0))
    views, palette = [axes[:1], axes[1:2]], bank().palette
    runs = [render(np.random.default_rng(i), layout, views, axes[2], palette, motion) for i in range(60)]
    near = np.median([1 - (run[1:20] * run[:19]).sum(axis=1) for run in runs])
    far = np.median([1 - (run[8:20] * run[:12]).sum(axis=1) for run in runs])
    cut = np.median([1 - run[19] @ run[20] for run in runs])
    assert 0.01 < near < 0.05  # the development videos: 0.02
    assert 1.5 * near < far < 0.25  # 0.1 after 4 s
    assert cut > 4 * far
    np.testing.assert_allclose(np.linalg.norm(runs[0], axis=1), 1, atol=1e-5)


def test_a_moving_camera_goes_along_its_views():
    axes = np.eye(DIM, dtype=np.float32)
    layout, _ = plan(Join(10, "cut", 0))
    motion = MotionConfig(still=1.0, static=0.0, distracted=0.0)
    found = render(np.random.default_rng(0), layout, [axes[:3], axes[3:4]], axes[4], bank().palette, motion)
    assert len(np.unique(found[:20].round(4), axis=0)) > 10
    assert not found[:20, 3:].any()


def test_what_else_is_seen_comes_and_goes():
    axes = np.eye(DIM, dtype=np.float32)
    layout, _ = plan(Join(10, "cut", 0))
    palette = replace(bank().palette, others=axes[5:6])
    motion = MotionConfig(still=1.0, static=1.0, distracted=1.0, distraction=(0.8, 0.8))
    found = np.concatenate(
        [render(np.random.default_rng(i), layout, [axes[:1], axes[1:2]], axes[4], palette, motion) for i in range(20)]
    )
    assert (found[:, 5] == 0).any()
    assert 0.3 < found[:, 5].max() < 0.7
    assert found[:, 5].min() >= 0
