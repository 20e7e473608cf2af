"""The torchvision of PyPI beside the torch of the CPU index: dead before, alive after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "users",
    [
        "",
        pytest.param("import open_clip, timm; from transformers import CLIPModel, SiglipModel", marks=pytest.mark.slow),
    ],
)
def test_a_torchvision_that_does_not_fit_is_mended(users: str) -> None:
    before = run("import torchvision")
    if before.returncode == 0:
        pytest.skip("torchvision is healthy here")
    if "torchvision::nms does not exist" not in before.stderr:
        pytest.skip("torchvision is absent, or broken in another way")
    after = run(
        "import warnings; warnings.simplefilter('error')\n"
        "from rdmf_cli.encoders.torchvision_ops import mend_torchvision as mend\n"
        "assert mend() and mend()\n"  # a second call changes nothing
        "import torchvision.transforms, torch\n"
        f"{users}\n"
        "try: torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)\n"
        "except RuntimeError: print('clear error')\n"
    )
    assert (after.returncode, after.stdout, after.stderr) == (0, "clear error\n", "")


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        ("x = 1", "False 1"),  # healthy: imported as it is
        ("raise ImportError('no libjpeg')", "False None"),  # can't be had: left to whoever needs it
        ("raise RuntimeError('another trouble')", "RuntimeError: another trouble"),  # not ours to hide
    ],
)
def test_everything_else_is_left_alone(made: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(made)
    done = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from rdmf_cli.encoders.torchvision_ops import mend_torchvision as mend\n"
        "import torch\n"
        "mended = mend()\n"
        "print(mended, getattr(sys.modules.get('torchvision'), 'x', None))\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')\n"
    )
    assert outcome in done.stdout + done.stderr
