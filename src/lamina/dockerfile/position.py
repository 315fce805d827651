"""Where an instruction stands, and errors that point there with an excerpt and a caret.

Knows lines and columns; knows no instruction.
"""

from typing import NamedTuple

from lamina.errors import DockerfileError

_EXCERPT = 120  # characters of a line that an excerpt shows at most
_BEFORE = 40  # of them, those before the caret


class Position(NamedTuple):
    """First and last line of an instruction, counted from one, and its text as written."""

    file: str
    first: int
    last: int
    source: str

    def error(self, brief: str, *, hint: str = "", near: str = "") -> DockerfileError:
        """An error here; the caret stands under `near`, in the first line that has it."""
        offset, line, column = self._find(near)
        number = self.first + offset
        return DockerfileError(
            brief,
            file=self.file,
            line=number,
            column=column + 1,
            excerpt=_excerpt(number, line, column, max(len(near), 1)),
            hint=hint,
        )

    def _find(self, near: str) -> tuple[int, str, int]:
        lines = self.source.split("\n")
        for offset, line in enumerate(lines):
            column = line.find(near) if near else -1
            if column >= 0:
                return offset, line, column
        return 0, lines[0], len(lines[0]) - len(lines[0].lstrip())


def _excerpt(number: int, line: str, column: int, width: int) -> str:
    """The line, cut to what a screen holds, and a second one with the caret."""
    line = line.rstrip()
    start = max(column - _BEFORE, 0) if len(line) > _EXCERPT else 0
    shown = line[start : start + _EXCERPT]
    before = shown[: column - start]
    # A tab stays a tab, so that the caret stands where the word does.
    indent = "".join(char if char == "\t" else " " for char in before)
    caret = "^" * max(min(width, len(shown) - len(before)), 1)
    return f"{number:4d} | {_printable(shown)}\n     | {indent}{caret}"


def _printable(text: str) -> str:
    """The text without what would steer a terminal, or could not be encoded for it."""
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in text)
