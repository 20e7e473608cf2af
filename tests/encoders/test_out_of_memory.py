"""Memory runs out, or the GPU goes away, in the middle of the work: smaller batches, then the CPU, then one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.encoders import device as device_module
from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.batches import Batches, NotEnoughMemory, is_out_of_memory
from rdmf_cli.encoders.fallback import FallbackEncoder
from rdmf_cli.errors import ModelError
from tests.encoders.test_lite import write
from tests.fakes import FakeEncoder

OUT_OF_MEMORY: dict[str, Callable[[], Exception]] = {
    "Python": lambda: MemoryError(),
    "CUDA": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "MPS": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.01 GB)"),
    "Linux": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "Windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
}


class Hungry:
    """Encodes numbers to themselves; more than `most` at once are too many."""

    def __init__(self, most: int, error: Callable[[], Exception]) -> None:
        self.most, self.error, self.sizes = most, error, list[int]()

    def __call__(self, start: int, end: int) -> np.ndarray:
        self.sizes.append(end - start)
        if end - start > self.most:
            raise self.error()
        return np.arange(start, end, dtype=np.float32)[:, None]


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_the_batch_is_halved_until_it_fits(kind: str) -> None:
    batches, hungry = Batches("x", 32), Hungry(5, OUT_OF_MEMORY[kind])
    rows = batches.run(40, 1, hungry)
    assert rows.ravel().tolist() == list(range(40))
    assert batches.size == 4
    assert hungry.sizes[:4] == [32, 16, 8, 4]
    hungry.sizes.clear()
    batches.run(8, 1, hungry)
    assert hungry.sizes == [4, 4]  # what was learnt is kept


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_one_picture_that_does_not_fit_is_one_line(kind: str) -> None:
    with pytest.raises(NotEnoughMemory, match="not enough memory for one picture") as raised:
        Batches("x", 8).run(3, 1, Hungry(0, OUT_OF_MEMORY[kind]))
    assert raised.value.exit_code == 4


def test_other_trouble_is_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        Batches("x", 8).run(3, 1, Hungry(0, lambda: RuntimeError("shapes do not match")))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_built_in_encoder_gives_the_same_rows_in_smaller_batches(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    calm = open_encoder(str(write(tmp_path / "m")), models_folder=tmp_path, device="cpu", batch_size=8)
    tight = open_encoder(str(tmp_path / "m"), models_folder=tmp_path, device="cpu", batch_size=8)
    whole = tight._image  # type: ignore[attr-defined]

    def picky(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("out of memory")
        result: torch.Tensor = whole(pixels)
        return result

    tight._image = picky  # type: ignore[attr-defined]
    np.testing.assert_allclose(tight.encode_images(frames), calm.encode_images(frames), atol=1e-5)


class Fragile(FakeEncoder):
    """Works `healthy` times, then its device is gone for good."""

    def __init__(self, healthy: int, error: Exception) -> None:
        super().__init__()
        self.healthy, self.error = healthy, error

    def encode_images(self, frames: np.ndarray) -> np.ndarray:
        if self.healthy == 0:
            raise self.error
        self.healthy -= 1
        return super().encode_images(frames)


LOST = {
    "lost": RuntimeError("CUDA error: device-side assert triggered"),
    "unplugged": torch.AcceleratorError("CUDA error: unspecified launch failure", 719)
    if hasattr(torch, "AcceleratorError")
    else RuntimeError("CUDA error: unspecified launch failure"),
    "full": NotEnoughMemory("x: not enough memory for one picture"),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_gpu_that_disappears_costs_one_line(kind: str) -> None:
    said: list[str] = []
    opened: list[FakeEncoder] = []

    def reopen() -> FakeEncoder:
        opened.append(FakeEncoder())
        return opened[-1]

    encoder = FallbackEncoder(Fragile(2, LOST[kind]), "cuda", reopen, said.append)
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    rows = [encoder.encode_images(frames) for _ in range(5)]
    for row in rows:
        np.testing.assert_array_equal(row, FakeEncoder().encode_images(frames))
    assert len(opened) == 1
    [line] = said
    assert line.startswith("cuda failed, going on with the CPU: ")
    assert "\n" not in line
    assert encoder.dim == 32
    assert encoder.encode_texts(["red"]).shape == (1, 32)


def test_trouble_that_the_cpu_has_as_well_is_told() -> None:
    error = RuntimeError("nonsense")
    encoder = FallbackEncoder(Fragile(0, error), "cuda", lambda: Fragile(0, error), lambda line: None)
    with pytest.raises(RuntimeError, match="nonsense"):
        encoder.encode_images(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("healthy", [None, 1])
def test_open_encoder_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, healthy: int | None) -> None:
    """`healthy` None: the GPU fails while the weights are moved to it; else in the middle of the work."""
    monkeypatch.setitem(device_module._IS_PRESENT, "cuda", lambda: True)
    places: list[str] = []

    def load(path: Path, place: str, batch_size: int, **options: str) -> FakeEncoder:
        places.append(place)
        if place == "cpu":
            return FakeEncoder()
        if healthy is None:
            raise ModelError("CUDA error: out of memory")
        return Fragile(healthy, RuntimeError("CUDA error: the launch failed"))

    monkeypatch.setattr("rdmf_cli.encoders.lite.load_lite", load)
    said: list[str] = []
    encoder = open_encoder(str(write(tmp_path / "m")), models_folder=tmp_path, device="auto", warn=said.append)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    for _ in range(3):
        assert encoder.encode_images(frames).shape == (2, 32)
    assert places == ["cuda", "cpu"]
    assert len(said) == 1
    assert "going on with the CPU" in said[0]


def test_weights_that_are_damaged_are_damaged_on_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(device_module._IS_PRESENT, "cuda", lambda: True)
    folder = write(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="damaged"):
        open_encoder(str(folder), models_folder=tmp_path, device="cuda")
