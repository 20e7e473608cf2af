"""`rdmf` as a process of its own, with a fake encoder: python -m tests.faults.program search VIDEO QUERY

Says `ready` on stderr when signals are listened to. $SLOW_S: seconds that every batch of frames takes.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from rdmf_cli import interrupts, main
from rdmf_cli.commands import session
from tests.fakes import FakeEncoder, plain_pictures


class SlowEncoder(FakeEncoder):
    """A fake that takes its time."""

    def encode_images(self, frames: np.ndarray) -> np.ndarray:
        time.sleep(float(os.environ.get("SLOW_S", "0")))
        return super().encode_images(frames)


def _encoder(settings: Any, batch_size: int, progress: Any) -> FakeEncoder:
    from rdmf_cli.pipeline import calibration

    calibration._demo_frames = plain_pictures  # type: ignore[assignment]
    return SlowEncoder()


def _listen(original: Any = interrupts.listen) -> None:
    original()
    print("ready", file=sys.stderr, flush=True)


if __name__ == "__main__":
    session.encoder = _encoder
    interrupts.listen = _listen
    main.run()
