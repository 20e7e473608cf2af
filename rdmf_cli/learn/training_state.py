"""The state of a training on disk: one safetensors file, replaced at once, read only by the same training."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rdmf_cli.errors import OutputError

State = dict[str, Tensor]


def save_state(
    file: Path,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: State,
    facts: dict[str, Any],
) -> None:
    """Keep weights, the best ones, the optimizer's moments, and `facts` as JSON. Raises OutputError."""
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {f"best.{name}": value for name, value in best.items()}
    for place, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{place}.{name}": value for name, value in values.items()}
    temporary = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
        save_file(state, temporary, {"identity": identity, "facts": json.dumps(facts)})
        os.replace(temporary, file)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{file}: the state of the training can't be written: {error}") from error


def load_state(
    file: Path, identity: str, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[State, dict[str, Any]] | None:
    """Put a kept state into network and optimizer; the best weights and the facts, or None.

    A state of another training, or a damaged one, is ignored: the training starts anew.
    """
    try:
        with safe_open(file, "pt") as opened:
            known = opened.metadata()
            if known.get("identity") != identity:
                return None
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dict
        facts = json.loads(known["facts"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    network.load_state_dict(_below(state, "network"))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(state, "optimizer").items():
        place, _, what = name.partition(".")
        moments.setdefault(int(place), {})[what] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return _below(state, "best"), facts


def _below(state: State, prefix: str) -> State:
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}
