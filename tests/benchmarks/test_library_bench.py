"""The library benchmark: a tiny run gives all figures, and its synthetic encoder has the geometry that it claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import library


def test_geometry_of_the_stub() -> None:
    encoder = library.Stub(128)
    first, second = encoder.video(1, 200), encoder.video(2, 200)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(first, encoder.video(1, 200))
    neighbours = (first[1:] * first[:-1]).sum(axis=1)
    assert np.median(neighbours) > 0.85
    assert 0.1 < float((first @ second.T).mean()) < 0.5
    texts = encoder.encode_texts(library.queries()[:20])
    assert abs(float((texts @ first.T).mean())) < 0.15


def test_a_tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ADDITIONS", 2)
    monkeypatch.setattr(library, "NUM_QUERIES", 6)
    monkeypatch.setattr(library, "WARM_UP", 1)
    monkeypatch.setattr(library, "apart", lambda job, folder, dim: library.measure_searches(folder, dim))
    figures = library.scale(32, 6, 20, tmp_path)
    assert figures["recall_at_100"] == 1
    assert figures["snippets"] == 120
    text = library.scale_table({"32": figures})
    assert "recall@100" in text
    assert list(tmp_path.iterdir()) == []
