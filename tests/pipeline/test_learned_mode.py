"""Search by a learned model: honest answers of any length, and one line for a model that can't be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rdmf_cli.errors import ModelError
from rdmf_cli.fusion.inputs import INPUT_NAMES
from rdmf_cli.heads.moment_decode import MomentDecodeConfig
from rdmf_cli.pipeline import learned
from rdmf_cli.pipeline.answer import Answer, Outcome, SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.index import index_video
from rdmf_cli.pipeline.learned import LearnedMode, open_mode
from rdmf_cli.pipeline.modes import PATTERN_MODE
from rdmf_cli.pipeline.query import encode_queries
from tests import moment_folders, videos
from tests.fakes import FakeEncoder
from tests.moment_folders import SMALL

Search = Callable[..., Outcome]
QUERIES = ["something red", "a blue sky", "nothing in particular"]


@pytest.fixture(scope="module")
def mode() -> LearnedMode:
    return LearnedMode("small", moment_folders.network_of())


def close(one: Answer, other: Answer) -> None:
    assert other.relevance.score == pytest.approx(one.relevance.score, abs=1e-4)
    np.testing.assert_allclose(other.saliency, one.saliency, atol=1e-4)
    assert len(one.moments) == len(other.moments)
    for a, b in zip(one.moments, other.moments, strict=True):
        assert (b.start_s, b.end_s) == pytest.approx((a.start_s, a.end_s), abs=0.01)


def test_answers_keep_what_they_promise(search: Search, colours: Path, mode: LearnedMode) -> None:
    places = [colours, videos.variable_rate(), videos.one_frame()]
    answers = search(places, QUERIES, mode=mode).answers
    assert [answer.query for answer in answers] == QUERIES * 3
    for answer in answers:
        assert len(answer.times_s) == len(answer.saliency) > 0
        assert ((answer.saliency >= 0) & (answer.saliency <= 1)).all()
        assert answer.moments
        scores = [moment.score for moment in answer.moments]
        assert scores == sorted(scores, reverse=True)
        in_time = sorted(answer.moments, key=lambda moment: moment.start_s)
        assert all(before.end_s <= after.start_s for before, after in pairwise(in_time))
        for moment in answer.moments:
            assert 0 <= moment.start_s < moment.end_s <= answer.duration_s
            assert moment.start_s <= moment.peak_s <= moment.end_s
            assert 0 <= moment.score <= np.cbrt(answer.relevance.score)
        assert answer.trace is None


def test_a_batch_of_queries_equals_one_by_one(
    search: Search, colours: Path, mode: LearnedMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = search(colours, QUERIES, mode=mode).answers
    for answer in together:
        close(answer, search(colours, answer.query, mode=mode).answers[0])
    monkeypatch.setattr(learned, "_AT_ONCE", 50)  # two of 24 snippets each
    for one, other in zip(together, search(colours, QUERIES, mode=mode).answers, strict=True):
        close(one, other)


def test_videos_of_different_length_together_equal_each_alone(
    encoder: FakeEncoder, colours: Path, mode: LearnedMode
) -> None:
    places = [colours, videos.one_frame(), videos.constant_rate()]
    indexed = [index_video(path, encoder=encoder, store=None, options=SearchOptions()) for path in places]
    calibration = calibrate(encoder, None)
    encoded = encode_queries(QUERIES[:2], encoder, calibration, None)
    together = mode.answer(indexed, encoded, calibration)
    assert [len(answers) for answers in together] == [2, 2, 2]
    for one, answers in zip(indexed, together, strict=True):
        [alone] = mode.answer([one], encoded, calibration)
        for a, b in zip(alone, answers, strict=True):
            assert a.info == b.info == one.info
            close(a, b)


def test_the_network_decides_what_is_confident(search: Search, colours: Path) -> None:
    sure = LearnedMode("sure", moment_folders.network_of(replace(SMALL, relevance_scale=(1.0, 4.0))))
    unsure = LearnedMode("unsure", moment_folders.network_of(replace(SMALL, relevance_scale=(1.0, -4.0))))
    strict = LearnedMode("strict", moment_folders.network_of(replace(SMALL, cutoff=1.0)))
    assert search(colours, mode=sure).answers[0].relevance.confident
    assert not search(colours, mode=unsure).answers[0].relevance.confident
    relevance = search(colours, mode=strict).answers[0].relevance
    assert (relevance.cutoff, relevance.confident) == (1.0, False)


def test_slots_that_say_nothing_are_no_answer(search: Search, colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mode = LearnedMode("small", moment_folders.network_of())
    monkeypatch.setattr(learned, "DECODE", MomentDecodeConfig())  # untrained slots lie upon each other
    monkeypatch.setattr(learned, "LEAST_SHARE", 0.0)
    everything = search(colours, mode=mode).answers[0].moments
    share = (everything[1].score / everything[0].score) ** 3  # of the products that order them
    monkeypatch.setattr(learned, "LEAST_SHARE", share - 1e-6)
    assert search(colours, mode=mode).answers[0].moments == everything[:2]
    monkeypatch.setattr(learned, "LEAST_SHARE", 1.0)
    assert search(colours, mode=mode).answers[0].moments == everything[:1]


def test_moments_can_be_limited(search: Search, colours: Path, mode: LearnedMode) -> None:
    assert len(search(colours, max_moments=1, mode=mode).answers[0].moments) == 1


def test_one_thread_answers_and_the_others_are_as_before(
    search: Search, colours: Path, mode: LearnedMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[int] = []
    answers = mode.network.answer
    monkeypatch.setattr(
        mode.network, "answer", lambda batch: (inside.append(torch.get_num_threads()), answers(batch))[1]
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        search(colours, QUERIES[:1], mode=mode)
        assert inside == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_curves_behind_an_answer(search: Search, colours: Path, mode: LearnedMode) -> None:
    red, _ = search(colours, QUERIES[:2], mode=mode, explain=True).answers
    trace = red.trace
    assert trace is not None
    num_snippets, channels = len(red.times_s), SMALL.fusion.channels
    assert trace.u.shape == trace.v.shape == (channels, num_snippets)
    assert (trace.u >= 0).all()
    assert (trace.v >= 0).all()
    assert len(trace.wavelengths_s) == channels
    assert all(2 * 0.5 <= length_s <= 150.1 for length_s in trace.wavelengths_s)
    is_red = (red.times_s >= 4) & (red.times_s < 6.9)
    assert trace.affinity[is_red].min() > trace.affinity[~is_red].max()


def test_a_fusion_without_channels_has_its_activity(search: Search, colours: Path) -> None:
    config = replace(SMALL, fusion=replace(SMALL.fusion, kind="none"))
    trace = search(colours, mode=LearnedMode("none", moment_folders.network_of(config)), explain=True).answers[0].trace
    assert trace is not None
    assert (trace.v.shape, trace.wavelengths_s) == ((0, len(trace.activity)), ())


def test_pattern_mode_has_one_channel(search: Search, colours: Path) -> None:
    [answer] = search(colours, mode=PATTERN_MODE, explain=True).answers
    trace = answer.trace
    assert trace is not None
    assert trace.v.shape == (1, len(answer.times_s))
    np.testing.assert_array_equal(trace.activity, trace.v[0])
    best = answer.moments[0]
    inside = (answer.times_s >= best.start_s) & (answer.times_s < best.end_s)
    assert trace.v[0][inside].min() > trace.v[0][~inside].max()
    assert 2 < trace.wavelengths_s[0] < 60


def test_a_model_that_reads_features(search: Search, colours: Path, encoder: FakeEncoder, tmp_path: Path) -> None:
    fusion = replace(SMALL.fusion, input="features", feature_dim=encoder.dim)
    fits = replace(SMALL, fusion=fusion, encoder="fake", encoder_fingerprint=encoder.fingerprint)
    mode = open_mode(str(moment_folders.saved(tmp_path / "mine", fits)), tmp_path, encoder)
    assert mode.name == "mine"
    assert len(search(colours, QUERIES, mode=mode).answers) == 3


# --- names and folders ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no model came with rdmf."""
    monkeypatch.setattr(learned, "DEFAULT_MODEL", "a-model-that-nobody-has")


@pytest.mark.usefixtures("no_default")
def test_without_a_model_it_is_pattern_mode(tmp_path: Path, encoder: FakeEncoder) -> None:
    for name in ("auto", "pattern"):
        assert open_mode(name, tmp_path, encoder) is PATTERN_MODE
    with pytest.raises(ModelError, match="a-model-that-nobody-has: no such model"):
        open_mode("learned", tmp_path, encoder)


def test_the_model_that_comes_with_rdmf_is_used_where_it_is(tmp_path: Path, encoder: FakeEncoder) -> None:
    moment_folders.saved(tmp_path / learned.DEFAULT_MODEL)  # the user's own folder comes first
    for name in ("auto", "learned", learned.DEFAULT_MODEL, str(tmp_path / learned.DEFAULT_MODEL)):
        mode = open_mode(name, tmp_path, encoder)
        assert isinstance(mode, LearnedMode)
        assert (mode.name, mode.kind, mode.is_default) == (learned.DEFAULT_MODEL, "learned", True)
        assert mode.network.config.fusion == SMALL.fusion
    namesake = open_mode(str(moment_folders.saved(tmp_path / "runs" / learned.DEFAULT_MODEL)), tmp_path, encoder)
    assert isinstance(namesake, LearnedMode)
    assert (namesake.name, namesake.is_default) == (learned.DEFAULT_MODEL, False)
    assert open_mode("pattern", tmp_path, encoder) is PATTERN_MODE


def test_a_damaged_default_is_told_and_not_passed_over(tmp_path: Path, encoder: FakeEncoder) -> None:
    moment_folders.cut_off(tmp_path / learned.DEFAULT_MODEL)
    for name in ("auto", "learned"):
        with pytest.raises(ModelError, match="damaged or cut off"):
            open_mode(name, tmp_path, encoder)


def test_a_default_that_lost_its_weights_is_told(tmp_path: Path, encoder: FakeEncoder) -> None:
    (moment_folders.saved(tmp_path / learned.DEFAULT_MODEL) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        open_mode("auto", tmp_path, encoder)


@pytest.mark.parametrize("case", moment_folders.BAD)
def test_models_that_are_not_used(tmp_path: Path, encoder: FakeEncoder, case: str) -> None:
    make, text = moment_folders.BAD[case]
    with pytest.raises(ModelError) as caught:
        open_mode(str(make(tmp_path / "model")), tmp_path, encoder)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_model_reads_is_what_pattern_mode_feeds_on(search: Search, colours: Path, mode: LearnedMode) -> None:
    """One affinity for all: the inputs' own copy of it agrees with pattern mode's."""
    assert INPUT_NAMES[learned._AFFINITY] == "affinity"
    pattern, network = (search(colours, explain=True, mode=one).answers[0].trace for one in (PATTERN_MODE, mode))
    assert pattern is not None
    assert network is not None
    np.testing.assert_allclose(network.affinity, pattern.affinity, atol=1e-4)


def test_no_gradients_and_no_dropout(search: Search, colours: Path) -> None:
    network = moment_folders.network_of()
    network.train()
    mode: Any = LearnedMode("small", network)
    one, other = (search(colours, mode=mode).answers[0] for _ in range(2))
    np.testing.assert_array_equal(one.saliency, other.saliency)
    assert torch.is_grad_enabled()
