"""Makes `import torchvision` work beside a torch it was not compiled for.

The torchvision wheel on PyPI for Linux is compiled against the CUDA build of torch. Beside the CPU build its compiled
library can't be loaded, its operators are never declared, and `import torchvision` dies with "operator
torchvision::nms does not exist", because two functions are registered whether the library was loaded or not. open_clip,
timm and transformers import torchvision, so all of them die with it. None of them calls those operators for what we
do: declaring them is enough. Calling one still fails, with a clear message of torch's.

Seen with torchvision 0.28.0+cu and torch 2.13.0+cpu (2026-11). Alternatives: asking users for another package index
(most don't), or doing without torchvision (open_clip's import needs it).
"""

from __future__ import annotations

import importlib
import sys
import warnings

import torch

# As in torchvision/csrc/ops/nms.cpp and quantized/cpu/qnms_kernel.cpp.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[torch.library.Library] = []  # declarations live as long as the object that made them


def mend_torchvision() -> bool:
    """Import torchvision, declaring its missing operators if, and only if, the import fails for want of them.

    Does nothing where torchvision is absent or healthy. Returns True if operators had to be declared, now or earlier.
    """
    if _kept or "torchvision" in sys.modules:
        return bool(_kept)
    try:
        _import_quietly()
    except ImportError:  # absent: whoever needs it will say so
        return False
    except RuntimeError as error:
        if "torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
        _forget_half_imported()
        _kept.append(_declare())
        _import_quietly()
    return bool(_kept)


def _import_quietly() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its compiled image reader is missing too; nothing here reads images
        importlib.import_module("torchvision")


def _declare() -> torch.library.Library:
    # A fragment: someone else may own the name. torch has no types for this class.
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def _forget_half_imported() -> None:
    """A failed import leaves the submodules that worked; the next import must start from nothing."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
