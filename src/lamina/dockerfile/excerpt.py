"""The lines of a text that something is about, with those around, as BuildKit shows them. Pure.

    Dockerfile:2
    --------------------
       1 |     FROM debian
       2 | >>> WORKDOR /src
         |     ^^^^^^^
       3 |     COPY . .
    --------------------

Whatever the text holds: so many lines, each no wider than a screen, and nothing that steers one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_RULE = "-" * 20
_WIDEST = 120  # characters of a line that are shown at most
_BEFORE = 40  # of them, those before a caret
_LONGEST = 20  # marked lines, of which more are not shown whole but by their ends
_FIRST, _LAST = 8, 3  # these many of them


class Spot(NamedTuple):
    """A word to point at: its line, its column counted from zero, and its width."""

    line: int
    column: int
    width: int


class Passage(NamedTuple):
    """Lines `first` to `last` of a text, whose `lines` begin with the number `start`."""

    lines: Sequence[str]
    first: int
    last: int
    start: int = 1


def excerpt(title: str, passage: Passage, spot: Spot | None = None) -> str:
    """The passage beneath its title, its own lines marked, and a caret under the spot."""
    digits = max(len(str(passage.last + 2)), 3)
    rows = [_printable(title), _RULE]
    before = 0
    for number in _shown(passage, spot):
        if before and number != before + 1:
            rows.append(f" {'...':>{digits}} |")
        before = number
        rows += _rows(passage, number, spot, digits)
    return "\n".join([*rows, _RULE])


def _shown(passage: Passage, spot: Spot | None) -> Iterator[int]:
    """The numbers of the lines: two around a single one, else one, as BuildKit has it."""
    around = 2 if passage.first == passage.last else 1
    end = passage.start + len(passage.lines) - 1
    is_long = passage.last - passage.first >= _LONGEST
    for number in range(
        max(passage.first - around, passage.start), min(passage.last + around, end) + 1
    ):
        is_end = number < passage.first + _FIRST or number > passage.last - _LAST
        if not is_long or is_end or (spot is not None and number == spot.line):
            yield number


def _rows(passage: Passage, number: int, spot: Spot | None, digits: int) -> list[str]:
    mark = ">>>" if passage.first <= number <= passage.last else "   "
    line = passage.lines[number - passage.start].rstrip()
    if spot is None or spot.line != number:
        return [f" {number:{digits}d} | {mark} {_printable(line[:_WIDEST])}".rstrip()]
    start = max(spot.column - _BEFORE, 0) if len(line) > _WIDEST else 0
    shown = line[start : start + _WIDEST]
    before = shown[: spot.column - start]
    # A tab stays a tab, so that the caret stands where the word does.
    indent = "".join(char if char == "\t" else " " for char in before)
    caret = "^" * max(min(spot.width, len(shown) - len(before)), 1)
    return [
        f" {number:{digits}d} | {mark} {_printable(shown)}",
        f" {'':{digits}} |     {indent}{caret}",
    ]


def _printable(text: str) -> str:
    """The text without what would steer a terminal, or could not be encoded for it."""
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in text)
