"""Rating of videos: by a network, and by prompts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.errors import ModelError, VideoError
from rdmf_cli.fusion.cross_gru import STREAMS, CrossGruConfig
from rdmf_cli.heads.affect import AffectHeadConfig
from rdmf_cli.model import AffectConfig, AffectNetwork
from rdmf_cli.pipeline.affect import rate_videos, rate_windows
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.rating import runs
from rdmf_cli.pipeline.streams import open_tools, video_streams
from rdmf_cli.pipeline.zero_shot import Scale, rate_by_prompts, smoothed
from rdmf_cli.windows import StreamConfig
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import RED_S, Ears
from tests.videos import folder, run_ffmpeg

OPTIONS = SearchOptions()


def made_tools(encoder, ears, names=STREAMS, store=None):
    where = {"store": store, "models_folder": Path("none"), "device": "cpu"}
    return open_tools(StreamConfig(), encoder, names, progress=ears, **where)


def network_for(tools, task: str = "classification") -> AffectNetwork:
    torch.manual_seed(0)
    outputs = ("other", "violence") if task == "classification" else ("valence", "arousal")
    head = AffectHeadConfig(task, outputs, hidden=8)
    fusion = CrossGruConfig(hidden=8, heads=2, streams=tools.names)
    return AffectNetwork(AffectConfig(tools.sources, fusion=fusion, head=head)).eval()


def rate(videos, network, tools, store=None, threshold=0.5, **more):
    return rate_videos(videos, network, tools, store=store, options=OPTIONS, threshold=threshold, **more)


def test_answers_have_the_form_of_a_search(colours: Path, encoder: FakeEncoder, ears: Ears):
    tools = made_tools(encoder, ears)
    (answer,) = rate([colours], network_for(tools), tools).answers
    assert answer.query == "violence"
    assert len(answer.times_s) == len(answer.saliency) == 12  # strides of 1.07 s in 12 s
    assert answer.relevance.score == pytest.approx(float(answer.saliency.max()))
    assert answer.moments
    assert all(0 <= moment.start_s < moment.end_s <= 12.001 for moment in answer.moments)


def test_dimensions_are_mapped_to_scores(colours: Path, encoder: FakeEncoder, ears: Ears):
    tools = made_tools(encoder, ears)
    network = network_for(tools, "regression")
    answers = rate([colours], network, tools).answers
    assert [answer.query for answer in answers] == ["valence", "arousal"]
    values = rate_windows(network, video_streams(colours, tools, store=None, options=OPTIONS).video)
    assert (np.abs(values) < 1).all()
    assert answers[0].saliency[0] == pytest.approx((1 + values[0, 0]) / 2, abs=1e-6)


def test_windows_are_rated_in_batches_of_bounded_size(colours, encoder, ears, monkeypatch):
    from rdmf_cli.pipeline import affect

    tools = made_tools(encoder, ears)
    network = network_for(tools)
    film = video_streams(colours, tools, store=None, options=OPTIONS).video
    whole = rate_windows(network, film)
    monkeypatch.setattr(affect, "_AT_ONCE", 3)
    np.testing.assert_allclose(rate_windows(network, film), whole, atol=1e-6)


def test_a_second_run_computes_nothing(colours, encoder, ears, store, decoders):
    tools = made_tools(encoder, ears, store=store)
    first = rate([colours], network_for(tools), tools, store)
    counts = encoder.num_images, encoder.num_texts, len(decoders)
    tools = made_tools(encoder, ears, store=store)
    second = rate([colours], network_for(tools), tools, store)
    assert (encoder.num_images, encoder.num_texts, len(decoders)) == counts
    np.testing.assert_array_equal(first.answers[0].saliency, second.answers[0].saliency)
    assert (second.timings.decode_s, second.timings.encode_s) == (0, 0)


def test_a_missing_stream_is_done_without(colours: Path, encoder: FakeEncoder, ears: Ears):
    tools = made_tools(encoder, ears)
    network = network_for(tools)
    without = replace(tools, names=("image", "motion"))
    scores = rate([colours], network, without).answers[0].saliency
    assert np.isfinite(scores).all()
    assert not np.array_equal(scores, rate([colours], network, tools).answers[0].saliency)


def test_another_encoder_is_refused(colours: Path, encoder: FakeEncoder, ears: Ears):
    network = network_for(made_tools(encoder, ears))
    with pytest.raises(ModelError, match="not trained on these"):
        rate([colours], network, made_tools(FakeEncoder("other", seed=1), ears))


def test_bad_videos_fail_alone(colours: Path, encoder: FakeEncoder, ears: Ears, tmp_path: Path):
    tools = made_tools(encoder, ears)
    network = network_for(tools)
    (tmp_path / "text.mp4").write_text("no video")
    outcome = rate([tmp_path / "text.mp4", colours], network, tools)
    assert (len(outcome.failures), len(outcome.answers)) == (1, 1)
    with pytest.raises(VideoError):
        rate([tmp_path / "text.mp4"], network, tools)


def test_runs_and_what_is_listed_below_the_threshold():
    times = np.arange(5.0)
    scores = np.array([0.9, 0.2, 0.6, 0.8, 0.1], np.float32)
    found = runs(times, scores, 5.0, 0.5)
    assert [(m.start_s, m.end_s) for m in found] == [(0, 1), (2, 4)]
    assert found[1].score == pytest.approx(0.7)
    assert found[1].peak_s == pytest.approx(3.5)
    assert runs(times, scores, 5.0, 0.95) == []


def test_prompts_find_what_they_name(colours: Path, encoder: FakeEncoder, ears: Ears):
    scale = Scale("redness", high=("red",), low=("grey", "blue"))
    outcome = rate_by_prompts([colours], (scale,), encoder=encoder, store=None, options=OPTIONS, threshold=0.5)
    (answer,) = outcome.answers
    assert answer.query == "redness"
    assert answer.relevance.confident
    best = answer.moments[0]
    assert best.start_s == pytest.approx(RED_S[0], abs=1.6)
    assert best.end_s == pytest.approx(RED_S[1], abs=1.6)
    low = Scale("greyness", high=("orange",), low=("grey", "blue", "red"))
    (answer,) = rate_by_prompts([colours], (low,), encoder=encoder, store=None, options=OPTIONS, threshold=0.5).answers
    assert not answer.relevance.confident
    assert answer.moments  # the best stretches are listed all the same


def test_smoothing_keeps_constants_and_length():
    np.testing.assert_allclose(smoothed(np.full(7, 0.3, np.float32), 2.0), 0.3, rtol=1e-6)
    assert len(smoothed(np.ones(1, np.float32), 2.0)) == 1


@pytest.mark.slow
def test_ten_minutes_in_bounded_memory_and_once(encoder, ears, store, decoders):
    import tracemalloc

    path = folder() / "ten-minutes.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x54:r=10:d=600", "-preset", "ultrafast", path)
    tools = made_tools(encoder, ears, store=store)
    network = network_for(tools)
    tracemalloc.start()
    first = rate([path], network, tools, store)
    peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak_mb < 60  # 4,500 rows of 32 dimensions, a few batches of frames, 256 windows at a time
    (answer,) = first.answers
    assert answer.duration_s == pytest.approx(600, abs=0.2)
    counts = encoder.num_images, len(decoders)
    again = rate([path], network, tools, store)
    assert (encoder.num_images, len(decoders)) == counts
    np.testing.assert_array_equal(again.answers[0].saliency, answer.saliency)
