"""Colours of pictures and pages: Okabe and Ito's, which people with any kind of colour vision can tell apart.

References: M. Okabe, K. Ito, "Color Universal Design", 2008. Moments also carry their rank, so no colour is needed.
"""

from __future__ import annotations

PAPER = "#ffffff"
INK = "#1b212c"
MUTED = "#5a6372"  # contrast 6.1 with paper
HAIRLINE = "#d9dee6"
CURVE = "#0072b2"  # blue
BEST = "#d55e00"  # vermilion: the moment of rank 1
OTHER = "#e69f00"  # orange: the other moments


def of_rank(rank: int) -> str:
    """The colour of the moment of `rank`, from 1."""
    return BEST if rank == 1 else OTHER
