"""The use case as a Python user calls it: several videos, several queries, and honest answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.pipeline.answer import Answer, Outcome, Timings, answer_to_json
from rdmf_cli.pipeline.calibration import CUTOFF
from rdmf_cli.store import Store
from tests import videos
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import RED_S

Search = Callable[..., Outcome]


def test_the_scene_is_found_between_its_cuts(search: Search, colours: Path) -> None:
    [answer] = search(colours, "something red").answers
    best = answer.moments[0]
    assert (best.start_s, best.end_s) == pytest.approx(RED_S, abs=0.11)  # the cuts, to the frame
    assert answer.relevance.confident
    assert answer.duration_s == pytest.approx(12, abs=0.11)


def test_what_is_not_there_is_not_claimed(search: Search, colours: Path) -> None:
    [answer] = search(colours, "something green").answers
    assert not answer.relevance.confident
    assert answer.relevance.cutoff == CUTOFF


def test_answers_keep_what_they_promise(search: Search, colours: Path) -> None:
    for answer in search([colours, videos.variable_rate(), videos.one_frame()], ["red", "a blue sky", "noise"]).answers:
        assert len(answer.times_s) == len(answer.saliency) > 0
        assert ((answer.saliency >= 0) & (answer.saliency <= 1)).all()
        assert (np.diff(answer.times_s) > 0).all()
        assert 0 <= answer.relevance.score <= 1
        scores = [moment.score for moment in answer.moments]
        assert scores == sorted(scores, reverse=True)
        for moment in answer.moments:
            assert 0 <= moment.start_s < moment.end_s <= answer.duration_s
            assert moment.start_s <= moment.peak_s <= moment.end_s
            assert 0 <= moment.score <= 1
        assert bool(answer.moments) or answer.relevance.score == 0


def test_a_batch_of_queries_equals_one_by_one(search: Search, colours: Path) -> None:
    queries = ["something red", "a blue sky", "nothing in particular"]
    together = search(colours, queries).answers
    assert [answer.query for answer in together] == queries
    for answer in together:
        [alone] = search(colours, answer.query).answers
        assert answer.relevance.score == pytest.approx(alone.relevance.score, abs=1e-5)
        np.testing.assert_allclose(answer.saliency, alone.saliency, atol=1e-3)
        there, here = ([(m.start_s, m.end_s) for m in a.moments] for a in (answer, alone))
        np.testing.assert_allclose(there, here, atol=0.01)


def test_answers_come_in_order_and_as_they_are_ready(search: Search, colours: Path, encoder: FakeEncoder) -> None:
    heard: list[tuple[str, str, int]] = []

    def hear(answer: Answer) -> None:
        heard.append((answer.info.path.name, answer.query, encoder.num_images))

    places = [colours, videos.constant_rate()]
    outcome = search(places, ["red", "blue"], on_answer=hear)
    expected = [(path.name, query) for path in places for query in ("red", "blue")]
    assert [(answer.info.path.name, answer.query) for answer in outcome.answers] == expected
    assert [(name, query) for name, query, _ in heard] == expected
    assert heard[1][2] < heard[2][2]  # the first video was answered before the second was encoded


def test_answers_know_where_shots_meet(search: Search, colours: Path) -> None:
    assert search(colours).answers[0].cuts_s == pytest.approx((4.0, 7.0), abs=0.06)


def test_a_broken_video_among_others(search: Search, colours: Path, tmp_path: Path) -> None:
    text, missing = tmp_path / "text.mp4", tmp_path / "missing.mp4"
    text.write_text("hello")
    outcome = search([text, colours, missing])
    assert [answer.info.path for answer in outcome.answers] == [colours]
    assert [failure.path for failure in outcome.failures] == [str(text), str(missing)]
    for failure in outcome.failures:
        assert failure.exit_code == 3
        assert failure.path in failure.message
        assert "\n" not in failure.message


def test_the_only_video_is_broken(search: Search, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        search(tmp_path / "missing.mp4")


def test_all_videos_are_broken(search: Search, tmp_path: Path) -> None:
    outcome = search([tmp_path / "a.mp4", tmp_path / "b.mp4"])
    assert outcome.answers == []
    assert len(outcome.failures) == 2


@pytest.mark.parametrize("queries", [[], [""], ["a dog", "  "]])
def test_no_query_is_a_usage_error_before_any_work(search: Search, encoder: FakeEncoder, queries: list[str]) -> None:
    with pytest.raises(UsageError, match="the query is empty"):
        search([Path("v.mp4")], queries)
    assert (encoder.num_texts, encoder.num_images) == (0, 0)


def test_no_video_is_no_answer(search: Search) -> None:
    assert search([]).answers == []


def test_moments_can_be_limited(search: Search, colours: Path) -> None:
    assert len(search(colours, max_moments=1).answers[0].moments) == 1
    assert search(colours, max_moments=0).answers[0].moments == ()


def test_timings_are_sane(search: Search, colours: Path, store: Store) -> None:
    for outcome in (search(colours, store=store), search(colours, store=store), search([colours] * 3)):
        spent = outcome.timings
        assert all(value >= 0 for value in vars(spent).values())
        assert spent.probe_s > 0
        assert spent.fusion_s > 0
        # Decoding and encoding overlap; one thread does all the rest.
        assert spent.probe_s + spent.fusion_s + max(spent.decode_s, spent.encode_s) <= spent.total_s + 0.01
        assert spent.to_json() == {name.removesuffix("_s"): round(value, 4) for name, value in vars(spent).items()}
    assert list(Timings().to_json()) == ["probe", "decode", "encode", "fusion", "total"]


def test_the_same_video_twice(search: Search, colours: Path, store: Store, encoder: FakeEncoder) -> None:
    search(colours, store=store)
    counted = encoder.num_images
    outcome = search([colours, colours], store=store)
    assert encoder.num_images == counted
    assert outcome.answers[0].moments == outcome.answers[1].moments


def test_an_answer_as_json(search: Search, colours: Path, tmp_path: Path) -> None:
    named = tmp_path / "Ferien – «see».mp4"
    shutil.copy(colours, named)
    [answer] = search(named, "something red").answers
    document: dict[str, Any] = json.loads(json.dumps(answer_to_json(answer, top=1)))
    assert document["video"]["path"] == str(named)
    assert [moment["rank"] for moment in document["moments"]] == [1]
    assert document["relevance"]["confident"] is True
    assert len(document["saliency"]["times_s"]) == len(document["saliency"]["values"])
    assert len(answer_to_json(answer)["moments"]) == len(answer.moments)
    assert document["warnings"] == []
