from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.export.titles import can_write, card


@pytest.mark.parametrize("size", [(1920, 1080), (90, 160), (16, 16)])
@pytest.mark.parametrize(
    "title", ["a dog in the snow", "", "word " * 200, "x" * 500, "<b>%{pts} 'quote' \\n\0\x1b", "Größe œuvre"]
)
def test_whatever_the_text_there_is_a_card(title: str, size: tuple[int, int]) -> None:
    image = card(title, "video.mp4  0:01:02", *size)
    assert (image.size, image.mode) == (size, "RGB")


def test_text_is_there_and_inside() -> None:
    pixels = np.asarray(card("a dog " * 20, "video.mp4  0:01:02", 640, 360).convert("L"))
    ink = np.argwhere(pixels > 120)
    assert len(ink) > 500
    (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0)
    assert top > 20
    assert bottom < 340
    assert left > 30
    assert right < 610
    assert abs((left + right) / 2 - 320) < 15


def test_it_knows_what_it_can_write() -> None:
    assert can_write("a dog, Größe 3")
    assert not can_write("\U0001f9ff\ue000")
