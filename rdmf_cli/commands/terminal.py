"""What the terminal at stdout can do, asked without ever hanging."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from rdmf_cli.commands import terminal_images
from rdmf_cli.commands.terminal_images import Protocol

_PATIENCE_S = 1.0  # a terminal behind a slow line answers within it; others at once
_CELL_PX = (10, 20)  # where the terminal doesn't say


@cache
def picture_protocol() -> Protocol | None:
    """How to send pictures to stdout; None: it is no terminal, or one without pictures."""
    if not sys.stdout.isatty():
        return None
    known = terminal_images.from_environment(os.environ)
    if known is not None:
        return known
    asked = terminal_images.question(os.environ)
    return terminal_images.understood(ask(asked, terminal_images.is_complete)) if asked else None


def ask(question: bytes, is_complete: Callable[[bytes], bool], patience_s: float = _PATIENCE_S) -> bytes:
    """What the controlling terminal answers to `question`; b"" where nobody can be asked."""
    try:
        import termios
        import tty

        # Opened anew: not blocking is then our own affair and not the shell's, and stdin may be a pipe.
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except (ImportError, OSError):  # Windows; no terminal
        return b""
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return b""  # in the background, changing the terminal would stop this program
        before = termios.tcgetattr(terminal)
        reply = b""
        try:
            tty.setcbreak(terminal, termios.TCSANOW)
            os.write(terminal, question)
            reply = _read(terminal, is_complete, patience_s)
            os.write(terminal, b"\r\x1b[K")  # whatever a terminal printed of a question that it doesn't know
        finally:
            # A late answer must not become input of the shell; what the user typed may stay if there is none to come.
            termios.tcsetattr(terminal, termios.TCSANOW if is_complete(reply) else termios.TCSAFLUSH, before)
        return reply
    except (OSError, termios.error):
        return b""
    finally:
        os.close(terminal)


def _read(terminal: int, is_complete: Callable[[bytes], bool], patience_s: float) -> bytes:
    reply, until = b"", time.monotonic() + patience_s
    while not is_complete(reply) and (left_s := until - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], left_s)
        if not ready:
            break
        with suppress(BlockingIOError):
            reply += os.read(terminal, 1024)
    return reply


def cell_size_px() -> tuple[int, int]:
    """Width and height of a character cell of stdout's terminal, px."""
    try:
        import fcntl
        import struct
        import termios

        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        rows, columns, width_px, height_px = struct.unpack("HHHH", answer)
        if rows and columns and width_px and height_px:
            return max(1, width_px // columns), max(1, height_px // rows)
    except (ImportError, OSError, ValueError):
        pass
    return _CELL_PX
