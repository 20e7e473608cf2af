"""What the speed benchmark is made of; the measurements themselves are not for a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pipeline, report, workloads
from tests.videos import constant_rate, hard_cuts


def test_tree_memory_counts_children() -> None:
    inner = "import time; block = bytearray(b'x') * (64 << 20); print('ready', flush=True); time.sleep(30)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            if not Path("/proc/self/stat").exists():
                pytest.skip("no /proc")
            assert pipeline.tree_mib(process.pid) > 64
        finally:
            for pid in sorted(pipeline.family(process.pid), reverse=True):
                subprocess.run(["kill", str(pid)], check=False)


@pytest.mark.parametrize("backend", ["decord", "opencv"])
def test_decoders_give_the_same_frames(backend: str, tmp_path: Path) -> None:
    pytest.importorskip({"decord": "decord", "opencv": "cv2"}[backend])
    kept = []
    for name in ("ffmpeg", backend):
        job = {"video": hard_cuts(), "warm_up": constant_rate(), "backend": name, "sample_fps": 2.0}
        done = workloads.decode({**job, "size_px": (64, 64), "keep": str(tmp_path / f"{name}.npz")})
        with np.load(tmp_path / f"{name}.npz") as arrays:
            kept.append(dict(arrays))
        assert done["num_frames"] == len(kept[-1]["times_s"])
    assert pipeline.share_of_same(*kept) == 1.0
    shifted = {"times_s": kept[0]["times_s"], "frames": np.roll(kept[1]["frames"], 1, axis=0)}
    assert pipeline.share_of_same(kept[0], shifted) < 0.5
    assert pipeline.share_of_same(kept[0], {key: value[1:] for key, value in kept[0].items()}) == 0.0


def test_second_search_costs_neither_decoding_nor_encoding(tmp_path: Path) -> None:
    job = {"encoder": "stub:32", "video": constant_rate(), "store": tmp_path / "store", "again": 1}
    done = workloads.search(job)
    assert done["first"]["decode_s"] > 0
    assert done["again"][0]["decode_s"] == done["again"][0]["encode_s"] == 0.0


def test_stub_encoder_gives_unit_rows_one_by_one() -> None:
    encoder = workloads.StubEncoder(32)
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    together = encoder.encode_images(frames)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.concatenate([encoder.encode_images(frame[None]) for frame in frames]) == pytest.approx(together, abs=1e-5)
    assert encoder.encode_texts([]).shape == (0, encoder.dim)


def test_a_missed_limit_is_said() -> None:
    rows = [pipeline._row("ratio", 0.5, "", ">= 0.85", False), pipeline._row("time", 1.25, "s")]
    result = {"encoder": "stub", "commit": None, "plan": "", "machine_line": "", "parts": {"speed": rows}}
    text = pipeline.as_markdown(result)
    assert "NO" in text
    assert "1.25 s" in text


def test_tables_are_markdown() -> None:
    assert report.table(["a", "b"], [["x", "10"]]).splitlines() == ["| a |  b |", "|---|---:|", "| x | 10 |"]
    assert report.machine()["cores"] >= 1
