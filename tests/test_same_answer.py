"""The same video and query give the same moments, whatever the batch, the threads, the cache and the surroundings.

Tolerance: moments and saliency differ by at most 0.02 in score and a twentieth of a second in time; where nothing but
the surroundings (locale, time zone, folder, hash seed) differs, the text of the answer is equal.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.presets import PRESETS, find_folder
from rdmf_cli.pipeline import search
from rdmf_cli.pipeline.answer import Answer, SearchOptions
from rdmf_cli.pipeline.calibration import Calibration, calibrate
from rdmf_cli.pipeline.search import search_videos
from rdmf_cli.store import Store
from tests import videos
from tests.faults import checks

QUERIES = ["a colourful test pattern", "a fractal", "red"]
SCORE, SECONDS = 0.02, 0.05


def answers(video: Path, batch_size: int = 32, store: Store | None = None, threads: int = 1) -> list[Answer]:
    if find_folder(PRESETS["lite"], Path("nowhere")) is None:
        pytest.skip("the built-in encoder is not here")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        encoder = open_encoder("lite", models_folder=Path("nowhere"), device="cpu", batch_size=batch_size)
        options = SearchOptions(batch_size=batch_size, sample_fps=4)
        return search_videos([video], QUERIES, encoder=encoder, store=store, options=options).answers
    finally:
        torch.set_num_threads(before)


def assert_same(ones: list[Answer], others: list[Answer]) -> None:
    for one, other in zip(ones, others, strict=True):
        assert len(one.moments) == len(other.moments)
        assert other.relevance.score == pytest.approx(one.relevance.score, abs=SCORE)
        np.testing.assert_allclose(other.times_s, one.times_s, atol=1e-9)
        np.testing.assert_allclose(other.saliency, one.saliency, atol=SCORE)
        for a, b in zip(one.moments, other.moments, strict=True):
            assert (b.start_s, b.end_s) == pytest.approx((a.start_s, a.end_s), abs=SECONDS)
            assert b.score == pytest.approx(a.score, abs=SCORE)


@pytest.fixture(autouse=True)
def _calibrated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration has nothing to do with batches and takes longer than all the rest."""
    monkeypatch.setattr(search, "calibrate", lambda encoder, store: calibrated(encoder.fingerprint))


@cache
def calibrated(fingerprint: str) -> Calibration:
    return calibrate(open_encoder("lite", models_folder=Path("nowhere"), device="cpu"), None)


@pytest.fixture
def reference() -> list[Answer]:
    return plainly()


@cache
def plainly() -> list[Answer]:
    return answers(videos.hard_cuts())


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_batch_size(reference: list[Answer], batch_size: int) -> None:
    assert_same(reference, answers(videos.hard_cuts(), batch_size=batch_size))


def test_threads(reference: list[Answer]) -> None:
    assert_same(reference, answers(videos.hard_cuts(), threads=3))


def test_cache(reference: list[Answer], tmp_path: Path) -> None:
    """Nothing kept, kept just now, found again: half precision on the disk moves scores a little, never the order."""
    with Store.open(tmp_path) as store:
        first = answers(videos.hard_cuts(), store=store)
        second = answers(videos.hard_cuts(), store=store)
    assert_same(reference, first)
    for one, other in zip(first, second, strict=True):
        assert one.moments == other.moments
        np.testing.assert_array_equal(one.saliency, other.saliency)


def ask(home: Path, folder: Path, **surroundings: str) -> Any:
    home.mkdir()
    process = checks.start(
        home, "search", str(videos.hard_cuts()), "something red", "--json", folder=folder, **surroundings
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode in (0, 1), err
    document = json.loads(out)
    document.pop("timings_s")
    return document


def test_surroundings(tmp_path: Path) -> None:
    plain = ask(tmp_path / "a", tmp_path, LC_ALL="C.UTF-8", TZ="UTC", PYTHONHASHSEED="1", PYTHONUTF8="1")
    odd = {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2", "COLUMNS": "20"}
    other = ask(tmp_path / "b", Path(os.sep), **odd, OMP_NUM_THREADS="2", RDMF_ENCODER="lite")
    assert other == plain
