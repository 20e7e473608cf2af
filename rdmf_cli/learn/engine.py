"""What trains a network where: one or several devices and precisions through Lightning Fabric, or plain torch.

Fabric is an extra (`pip install 'rdmf-cli[train]'`). Without it one device at full precision is left, which is what a
laptop has anyway; a test pins the two to the same weights.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rdmf_cli.errors import ModelError, UsageError


class Engine(Protocol):
    """One of `num_processes` processes that train the same network, each on its share of every batch."""

    device: torch.device
    number: int  # of this process, from 0; only the first one writes and speaks
    num_processes: int

    def launch(self) -> None:
        """Start the other processes, once, before anything else is done here."""

    def setup(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """The two as they are to be used: called, stepped."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, which is the mean over this process's share."""

    def wait(self) -> None:
        """Until all processes are here."""


class PlainEngine:
    """One device at full precision."""

    number, num_processes = 0, 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def launch(self) -> None:
        """Nothing to start."""

    def setup(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """As they are, on the device."""
        return network.to(self.device), optimizer

    def backward(self, loss: Tensor) -> None:
        """As torch does it."""
        loss.backward()  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Nobody to wait for."""


class FabricEngine:
    """Lightning Fabric. Several devices: processes with averaged gradients (DDP)."""

    def __init__(self, device: str, precision: str, devices: int) -> None:
        from lightning_fabric import Fabric

        kind, _, number = device.partition(":")
        # Parts of the network can be without a gradient: a batch without any true moment moves no border.
        strategy = "ddp_find_unused_parameters_true" if devices > 1 else "auto"
        chosen: Any = [int(number)] if number and devices == 1 else devices
        precise: Any = {"32": "32-true", "bf16": "bf16-mixed"}[precision]
        try:
            self._fabric = Fabric(accelerator=kind, devices=chosen, precision=precise, strategy=strategy)
        except (RuntimeError, ValueError) as error:  # no such accelerator, or not as many
            raise ModelError(f"{devices} × {device} can't be used: {' '.join(str(error).split())}") from error
        self.device = self._fabric.device
        self.number, self.num_processes = 0, devices

    def launch(self) -> None:
        """Start the other processes: each runs the same command line."""
        self._fabric.launch()
        self.device, self.number = self._fabric.device, self._fabric.global_rank
        self.num_processes = self._fabric.world_size

    def setup(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Wrapped by Fabric, on the device."""
        wrapped, stepped = self._fabric.setup(network, optimizer)
        return wrapped, stepped

    def backward(self, loss: Tensor) -> None:
        """Through Fabric's strategy and precision."""
        with torch.autocast(self.device.type, enabled=False):  # gradients take the types that the forward pass had
            self._fabric.backward(loss)

    def wait(self) -> None:
        """Until all processes are here."""
        self._fabric.barrier()


def open_engine(device: str = "cpu", precision: str = "32", devices: int = 1) -> Engine:
    """Fabric if it is installed. device: "cpu", "cuda", "cuda:1", "mps". Raises UsageError if it is needed and missing.

    Raises ModelError if there are not as many devices.
    """
    if find_spec("lightning_fabric") is not None:
        return FabricEngine(device, precision, devices)
    if precision != "32" or devices > 1:
        raise UsageError(
            f"precision {precision} on {devices} devices needs lightning-fabric", hint="pip install 'rdmf-cli[train]'"
        )
    return PlainEngine(device)
