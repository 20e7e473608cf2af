"""Texts of users made safe for one format each: no line breaks, markup or formulas where none belong."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, halves of surrogate pairs (undecodable bytes of file names),
# and what XML 1.0 excludes: no format can hold them, most would break a line.
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff\\ufffe\\uffff]+")
_FORMULA = tuple("=+-@＝＋－＠")  # the wide ones, too: spreadsheets in Japanese read them alike
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Players read <i> and {\an8} in SubRip, which has no way to escape them; YouTube refuses < and > in descriptions.
_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


def one_line(text: str) -> str:
    """`text` without line breaks and control characters; stretches of blanks become one."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def cell(text: str) -> str:
    """One line that no spreadsheet takes for a formula: those of `= + - @` get an apostrophe in front."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def no_markup(text: str) -> str:
    """One line whose brackets are replaced by others that look alike."""
    return one_line(text).translate(_LOOKALIKES)


def entities(text: str) -> str:
    """One line as WebVTT wants it: `&amp;`, `&lt;`, `&gt;`."""
    return one_line(text).translate(_ENTITIES)


def backslashed(text: str) -> str:
    """One line as ffmetadata wants it: a backslash before `= ; # \\`."""
    return re.sub(r"([=;#\\])", r"\\\1", one_line(text))
