from __future__ import annotations

import pytest

from rdmf_cli.encoders import device
from rdmf_cli.errors import UsageError


@pytest.mark.parametrize(
    ("present", "expected"), [({"cuda", "mps"}, "cuda"), ({"mps"}, "mps"), (set(), "cpu"), ({"cuda"}, "cuda")]
)
def test_auto_takes_the_fastest(present: set[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {name: (lambda name=name: name == "cpu" or name in present) for name in ("cuda", "mps", "cpu")}
    monkeypatch.setattr(device, "_IS_PRESENT", checks)
    assert device.pick_device("auto") == expected
    assert device.pick_device(expected) == expected


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(device._IS_PRESENT, "cuda", lambda: False)
    with pytest.raises(UsageError, match="has no device 'cuda'"):
        device.pick_device("cuda")
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        device.pick_device("tpu")


@pytest.mark.gpu
def test_the_accelerator_agrees_with_the_cpu(tiny_openclip, tmp_path, frames, texts) -> None:
    import numpy as np

    from rdmf_cli.encoders import open_encoder

    name = f"openclip:rdmf-tiny@{tiny_openclip / 'rdmf-tiny.safetensors'}"
    cpu, other = (open_encoder(name, models_folder=tmp_path, device=where) for where in ("cpu", "auto"))
    assert cpu.fingerprint == other.fingerprint
    np.testing.assert_allclose(cpu.encode_images(frames), other.encode_images(frames), atol=5e-3)
    np.testing.assert_allclose(cpu.encode_texts(texts), other.encode_texts(texts), atol=5e-3)
