"""Asking a terminal, with a pseudo terminal whose other end these tests hold."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from rdmf_cli.commands import terminal

pty = pytest.importorskip("pty", reason="only systems like Unix have pseudo terminals")

ROOT = Path(__file__).resolve().parents[2]
OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
CODE = """
import sys, termios
from rdmf_cli.commands import terminal
before = termios.tcgetattr(0)
found = terminal.picture_protocol()
same = termios.tcgetattr(0) == before
print("found", found, "same", same, "cell", terminal.cell_size_px(), "end", flush=True)
"""


def talk(reply: bytes, code: str = CODE, **environment: str) -> str:
    """Run `code` in a terminal that answers `reply` to the question; what it printed."""
    ours, theirs = pty.openpty()
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-c", OWN_TERMINAL + code]
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=given, start_new_session=True, close_fds=True
    )
    os.close(theirs)
    seen, answered = b"", False
    with contextlib.suppress(OSError):  # Linux says so when the child has closed its end
        while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 4096)):
            seen += piece
            if b"\x1b[c" in seen and not answered:
                answered = True
                os.write(ours, reply)
            if b"end\r\n" in seen:
                break
    child.wait()
    os.close(ours)
    return seen.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "found Kitty same True"),
        (b"\x1b[?62;4;22c", "found Sixel same True"),
        (b"\x1b[?62;22c", "found None same True"),
        (b"", "found None same True"),  # silence: it waits a second and goes on
        (b"\x1b[?62;", "found None same True"),
    ],
)
def test_a_terminal_is_asked_and_left_as_it_was(reply: bytes, expected: str) -> None:
    assert expected in talk(reply)


def test_terminals_that_would_print_the_question_are_not_asked() -> None:
    said = talk(b"\x1b[?62;4c", TERM="linux")
    assert "\x1b[c" not in said
    assert "found None" in said


def test_a_terminal_that_tells_by_its_variables_is_not_asked() -> None:
    said = talk(b"", TERM="xterm-kitty")
    assert "found Kitty" in said
    assert "\x1b[c" not in said


def test_no_terminal_no_question(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.picture_protocol.cache_clear()
    assert terminal.picture_protocol() is None
    assert capfd.readouterr().out == ""
    assert all(side > 0 for side in terminal.cell_size_px())


def test_in_the_background_it_does_not_stop() -> None:
    code = """
import os, signal
child = os.fork()
if child == 0:
    os.setpgid(0, 0)  # the terminal's foreground stays with the parent
    from rdmf_cli.commands import terminal
    print("reply", terminal.ask(b"\\x1b[c", lambda reply: False), flush=True)
    os._exit(0)
_, status = os.waitpid(child, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status), "end", flush=True)
"""
    said = talk(b"", code)
    assert "reply b''" in said
    assert "stopped False" in said
