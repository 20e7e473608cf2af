"""The image tower in 8-bit integers: against float32 on a small network made here, and damaged ranges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from rdmf_cli.encoders import lite, lite_int8
from rdmf_cli.encoders.lite import fastest_precision, load_lite
from rdmf_cli.encoders.lite_int8 import RANGES, Int8Tower, activations, checked_ranges, cpu_can, num_ranges
from rdmf_cli.encoders.lite_network import LiteConfig, LiteNetwork, in_8_bits, quantised
from rdmf_cli.errors import ModelError
from tests.encoders.test_lite import TINY, write

ROOT = Path(__file__).resolve().parents[2]
# Three stages: a linear border into stride 1, one into stride 2, and the last; widths that fill no vector register.
SMALL = replace(
    TINY,
    image_size_px=64,
    frame_side_px=64,
    stem_width=10,
    stage_widths=(12, 20, 24),
    stage_blocks=(1, 2, 1),
    border_channels=(6, 9, 40),
    border_grids_px=(16, 16, 8),
)
needs_int8 = pytest.mark.skipif(not cpu_can(), reason="this CPU or this torch has no 8-bit convolutions")


def network_of(config: LiteConfig) -> LiteNetwork:
    """Random weights that are worth whole steps, so that int8 weights are exact and only activations are rounded."""
    torch.manual_seed(3)
    network = LiteNetwork(config).eval().requires_grad_(False)
    for module in network.image.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.mul_(1.7)  # torch's default lets activations shrink from layer to layer
            steps, scale = in_8_bits(module.weight)
            module.weight.copy_(steps * scale.view(-1, 1, 1, 1))
    return network


def frames_of(config: LiteConfig, count: int = 6) -> np.ndarray:
    """Smooth random pictures: noise alone gives every picture the same average."""
    side = config.frame_side_px
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (smooth.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()


def as_input(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def ranges_of(network: LiteNetwork, frames: np.ndarray) -> Tensor:
    ends = [(min(0.0, float(a.min())), float(a.max())) for a in activations(network.image, as_input(frames))]
    return torch.tensor(ends)


def with_ranges(folder: Path, config: LiteConfig = SMALL, change: Callable[[Tensor], Tensor] = lambda r: r) -> Path:
    write(folder, config)
    network = network_of(config)
    packed = quantised(network.state_dict())
    ranges = change(ranges_of(network, frames_of(config)))
    save_file(packed | {RANGES: ranges.contiguous()}, folder / "model.safetensors")
    return folder


# --- the numbers ------------------------------------------------------------------------------------------------------


@needs_int8
@pytest.mark.parametrize(
    "config", [SMALL, TINY, replace(SMALL, stage_blocks=(2, 1, 3)), replace(SMALL, border_grids_px=(32, 16, 4))]
)
def test_it_computes_what_the_float_tower_does(config: LiteConfig) -> None:
    network, frames = network_of(config), frames_of(config)
    expected = network.image(as_input(frames))
    tower = Int8Tower(network.image, ranges_of(network, frames), (config.frame_side_px,) * 2)
    with torch.inference_mode():
        found = tower(frames)
    assert found.dtype == torch.float32
    spread = expected - expected.mean(dim=0)  # what pictures differ by: a constant answer would be off by 1
    assert (found - expected).norm() / spread.norm() < 0.1
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.999


@needs_int8
def test_activations_are_within_a_few_steps_right_up_to_the_edges() -> None:
    """Padding of pixels, of a linear border and of rectified activations, at stride 1 and 2, on each side."""
    network, frames = network_of(SMALL), frames_of(SMALL)
    ranges = ranges_of(network, frames)
    tower = Int8Tower(network.image, ranges, (64, 64))
    padded = np.full((len(frames), 65, 65, 3), 128, np.uint8)
    padded[:, :64, :64] = frames
    x, expected = torch.from_numpy(padded).permute(0, 3, 1, 2), as_input(frames)
    with torch.inference_mode():
        for own, stage in zip(tower._stages[:-1], network.image.stages, strict=False):
            x, expected = own(x), stage(expected)
            off = ((x.float() - own.steps.zero) * own.steps.size - expected).abs() / own.steps.size
            inside = off[:, :, 2:-2, 2:-2].max()
            assert inside < 8
            assert off.max() < 8
            assert off.mean() < 1.5


@needs_int8
def test_the_batch_and_the_size_do_not_matter() -> None:
    """Sums of integers are exact in any order; only the adapter is float32."""
    network, frames = network_of(SMALL), frames_of(SMALL)
    ranges = ranges_of(network, frames)
    one, other = Int8Tower(network.image, ranges, (64, 64)), Int8Tower(network.image, ranges, (128, 32))
    with torch.inference_mode():
        together = one(frames)
        alone = torch.cat([one(frame[None]) for frame in frames])
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(together, other(frames), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(together, one(frames))  # nothing that it keeps is overwritten
        turned = frames[:, :, ::-1]
        torch.testing.assert_close(one(turned), one(turned.copy()))


@needs_int8
def test_what_leaves_its_range_is_clipped_not_wrapped() -> None:
    network, frames = network_of(SMALL), frames_of(SMALL)
    half = ranges_of(network, frames) * 0.5
    with torch.inference_mode():
        found = Int8Tower(network.image, half, (64, 64))(frames)
    assert torch.nn.functional.cosine_similarity(found, network.image(as_input(frames))).min() > 0.8


@needs_int8
def test_weights_that_are_no_numbers_are_refused() -> None:
    network, frames = network_of(SMALL), frames_of(SMALL)
    ranges = ranges_of(network, frames)
    network.image.stages[1].entry.conv.bias[2] = float("nan")
    with pytest.raises(ModelError, match="no numbers"):
        Int8Tower(network.image, ranges, (64, 64))


@pytest.mark.parametrize("config", [TINY, SMALL, LiteConfig()])
def test_ranges_are_counted(config: LiteConfig) -> None:
    network = LiteNetwork(config).requires_grad_(False)
    assert num_ranges(config) == len(list(activations(network.image, torch.zeros(1, 3, 64, 64))))


# --- the encoder ------------------------------------------------------------------------------------------------------


@needs_int8
def test_an_encoder_with_ranges_runs_in_8_bits(tmp_path: Path) -> None:
    folder, frames = with_ranges(tmp_path / "m"), frames_of(SMALL)
    encoder, exact = load_lite(folder), load_lite(folder, precision="fp32")
    assert (encoder.precision, exact.precision) == ("int8", "fp32")
    assert encoder.fingerprint == exact.fingerprint  # they share a store
    rows, expected = encoder.encode_images(frames), exact.encode_images(frames)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows * expected).sum(axis=1).min() > 0.999
    assert np.abs(rows - expected).max() > 0
    np.testing.assert_array_equal(encoder.encode_texts(["a dog"]), exact.encode_texts(["a dog"]))
    frozen = frames.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(encoder.encode_images(frozen), rows)


def test_without_ranges_it_runs_as_before(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    assert load_lite(folder).precision in ("bf16", "fp32")
    with pytest.raises(ModelError, match="cannot run in int8"):
        load_lite(folder, precision="int8")


def test_a_cpu_without_it_runs_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    assert not cpu_can()
    encoder = load_lite(with_ranges(tmp_path / "m"))
    assert encoder.precision in ("bf16", "fp32")
    assert encoder.encode_images(frames_of(SMALL)).shape == (6, 12)


def test_operators_that_are_wrong_or_absent_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    for error in (AttributeError("no such operator"), RuntimeError("Didn't find engine"), TypeError("arguments")):

        def fail(error: Exception = error) -> bool:
            raise error

        monkeypatch.setattr(lite_int8, "_works", fail)
        assert not cpu_can()
    monkeypatch.setattr(lite_int8, "_works", lambda: False)
    assert not cpu_can()


def test_only_the_cpu_runs_in_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "cpu_can", lambda: True)
    assert fastest_precision("cpu", has_ranges=True) == "int8"
    assert fastest_precision("cpu", has_ranges=False) != "int8"
    assert fastest_precision("cuda", has_ranges=True) == "bf16"


def put(row: int, column: int, value: float) -> Callable[[Tensor], Tensor]:
    def change(ranges: Tensor) -> Tensor:
        ranges[row, column] = value
        return ranges

    return change


DAMAGES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "one too few": (lambda r: r[:-1], "do not fit"),
    "one number each": (lambda r: r[:, 0], "do not fit"),
    "none": (lambda r: r[:0], "do not fit"),
    "integers": (lambda r: r.round().to(torch.int64), "do not fit"),
    "not a number": (put(3, 1, float("nan")), "no range"),
    "without end": (put(0, 1, float("inf")), "no range"),
    "empty": (put(2, 1, 0.0), "no range"),
    "next to empty": (put(2, 1, 1e-40), "no range"),
    "negative": (put(1, 1, -4.0), "no range"),
    "above zero": (put(1, 0, 0.5), "no range"),
    "wider than anything": (put(1, 1, 1e30), "no range"),
    "turned round": (lambda r: r.flip(1), "no range"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_ranges_are_one_line(tmp_path: Path, damage: str) -> None:
    """On every machine, whether or not it would use them."""
    change, text = DAMAGES[damage]
    with pytest.raises(ModelError, match=text) as caught:
        load_lite(with_ranges(tmp_path / "m", change=change))
    assert "\n" not in str(caught.value)


def test_half_precision_ranges_are_taken() -> None:
    ranges = torch.tensor([[0.0, 1.0]] * num_ranges(TINY))
    assert checked_ranges(ranges.half(), TINY).dtype == torch.float32


@needs_int8
@pytest.mark.parametrize(
    "changes",
    [
        {"image_size_px": 8},
        {"image_size_px": 4096},
        {"border_grids_px": [8, 16, 8]},
        {"border_grids_px": [1, 1, 1]},
        {"border_grids_px": [8192, 8192, 8192]},
        {"frame_side_px": 1},
    ],
)
def test_grids_that_do_not_fit_end_in_one_line(tmp_path: Path, changes: dict[str, object]) -> None:
    """Nothing that config.json says may end the process inside a library."""
    folder = with_ranges(tmp_path / "m")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))
    said = ""
    try:
        encoder = load_lite(folder)
        height, width = encoder.frame_size_px(64, 64)
        rows = encoder.encode_images(np.zeros((1, height, width, 3), np.uint8))
        assert np.isfinite(rows).all()
    except ModelError as error:
        said = str(error)
    assert "\n" not in said


WARNINGS = """
import sys, warnings
from pathlib import Path
import torch
before = set(sys.modules)
warnings.simplefilter("error")
import numpy as np
from rdmf_cli.encoders.lite import load_lite
encoder = load_lite(Path(sys.argv[1]))
encoder.encode_images(np.zeros((2, 64, 64, 3), np.uint8))
new = set(sys.modules) - before
print(encoder.precision, sorted(name for name in new if name.startswith(("torch.ao", "torch._dynamo"))))
"""


@needs_int8
def test_nothing_is_warned_about_and_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WARNINGS, str(with_ranges(tmp_path / "m"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "int8 []\n")
