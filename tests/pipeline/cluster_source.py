"""Encoders for the workers of test_cluster.py; in a module of its own, which workers can import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.pipeline.cluster import EncoderSource
from tests.fakes import FakeEncoder


@dataclass(frozen=True)
class FakeSource(EncoderSource):
    """Opens the fake encoder; with `fatal`, a worker that sees a red video is killed, three times in all."""

    fatal: str = ""

    def open(self) -> Any:
        return Fatal(self.fatal) if self.fatal else FakeEncoder()


class Fatal(FakeEncoder):
    def __init__(self, flag: str) -> None:
        super().__init__()
        self._flag = Path(flag)

    def encode_images(self, frames: Any) -> Any:
        if frames[0, 0, 0, 0] > 180 and frames[0, 0, 0, 1] < 60 and frames[0, 0, 0, 2] < 60:
            for number in (1, 2, 3):
                try:
                    self._flag.with_suffix(f".{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(frames)
