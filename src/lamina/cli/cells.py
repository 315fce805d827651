"""Text for the cells of a terminal: what would steer it taken out, what is too wide cut. Pure.

Knows no terminal. A width is that of East Asian Wide characters as two cells and of marks that
stand on others as none; what is disputed between terminals is taken out.
"""

import re
import unicodedata
from typing import NamedTuple

# Sequences by ECMA-48: CSI, then strings such as a window's title (also unfinished ones), then
# the short ones; each also in its 8-bit form. Compiled by who first meets one: most never do.
_SEQUENCES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_DISPUTED = "[\ufe00-\ufe0f]"  # variation selectors: they widen what is before them


class Line(NamedTuple):
    """One line of a screen, short enough for it, and what sort of thing it tells of."""

    text: str
    kind: str = ""


def harmless(text: str) -> str:
    """One line of whatever a program wrote, as what it comes to and without what steers.

    Of what was written over (after a carriage return) the last stays; tabs become blanks.
    """
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(_SEQUENCES, "", text.rstrip("\r"))
    text = re.sub(_DISPUTED, "", text.rpartition("\r")[2].expandtabs(8))
    return "".join(filter(str.isprintable, text))


def width(text: str) -> int:
    """How many cells a text takes up."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int) -> str:
    """The beginning of a text that takes up no more than so many cells."""
    if text.isascii():
        return text[: max(cells, 0)]
    for at, char in enumerate(text):
        cells -= _cells(char)
        if cells < 0:
            return text[:at]
    return text


def shortened(text: str, cells: int) -> str:
    """The text, or its beginning with an ellipsis, in no more than so many cells."""
    return text if width(text) <= cells else cut(text, cells - 1) + "…"[: max(cells, 0)]


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
