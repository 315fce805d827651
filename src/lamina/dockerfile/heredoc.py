"""Here-documents: recognising their words, and what becomes of their bodies.

The escape character in here is always the backslash, whatever the file's directive says.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_OPENING = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.ASCII)
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_FD_DIGITS = 9  # a descriptor of more digits is no descriptor


class Heredoc(NamedTuple):
    """One here-document: its name, its body, whether variables in it are expanded, whether
    leading tabs are cut, and the descriptor it is fed to.
    """

    name: str
    content: str
    expand: bool
    chomp: bool
    fd: int


def openings(line: str) -> list[Heredoc]:
    """The here-documents that a logical line opens, without bodies yet, in order."""
    found = (parse_opening(word) for word in _shell_words(line))
    return [opened for opened in found if opened is not None]


def parse_opening(word: str) -> Heredoc | None:
    """`<<EOF`, `<<-"EOF"`, `3<<EOF` as a here-document; None for any other word."""
    match = _OPENING.fullmatch(word)
    if match is None or len(match[1]) > _FD_DIGITS:
        return None
    name = _unquoted(match[3])
    if not name:
        return None
    expands = not {"'", '"'} & _quotes(match[3])
    return Heredoc(name, "", expands, match[2] == "-", int(match[1] or 0))


def _quotes(text: str) -> set[str]:
    """The characters of a word that open quotes."""
    return {text[start] for start, _ in _spans(text) if text[start] in "'\""}


def _unquoted(text: str) -> str | None:
    """A word without its quotes and escapes; None when it is not exactly one word."""
    out: list[str] = []
    for start, end in _spans(text):
        piece = text[start:end]
        if piece[0] in "'\"":
            if len(piece) < 2 or piece[-1] != piece[0]:
                return None
            inside = piece[1:-1]
            out.append(inside if piece[0] == "'" else re.sub(r'\\(["$\\])', r"\1", inside))
        elif piece.isspace():
            return None
        else:
            out.append(piece[1:] if piece[0] == "\\" else piece)
    return "".join(out)


def _shell_words(line: str) -> list[str]:
    """Words as the shell splits them, quotes kept; blanks after `<<` belong to the word."""
    words: list[str] = []
    current: list[str] = []
    brackets = 0
    for start, end in _spans(line):
        piece = line[start:end]
        if not piece.isspace():
            brackets = brackets + 1 if piece == "<" else 0
            current.append(piece)
        elif brackets and brackets % 2 == 0:
            current.append(piece)
        elif current:
            words.append("".join(current))
            current, brackets = [], 0
    return [*words, "".join(current)] if current else words


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each piece begins and ends: a quoted text, an escaped character, a lone one.

    A quote that is never closed reaches to the end.
    """
    at = 0
    while at < len(text):
        end = at + 1
        if text[at] == "'":
            closed = text.find("'", end)
            end = closed + 1 if closed >= 0 else len(text)
        elif text[at] == '"':
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            end += 1
        elif text[at] == "\\":
            end += 1
        yield at, min(end, len(text))
        at = end


def chomped(content: str) -> str:
    """A body without its lines' leading tabs."""
    return _LEADING_TABS.sub("", content)


def summary(content: str) -> str:
    """The first line of a body that says anything, and whether there are more."""
    first, _, more = content.strip().partition("\n")
    return f"{first.strip()}..." if more else first
