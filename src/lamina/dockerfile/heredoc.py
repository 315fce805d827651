"""Here-documents: recognising their words, and what becomes of their bodies."""

import re
from typing import NamedTuple

_OPENING = re.compile(r"(\d*)<<(-?)\s*([^<].*)", re.DOTALL)


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
    found = []
    for word in _shell_words(line):
        opened = parse_opening(word)
        if opened is not None:
            found.append(opened)
    return found


def parse_opening(word: str) -> Heredoc | None:
    """`<<EOF`, `<<-"EOF"`, `3<<EOF` as a here-document; None for any other word."""
    match = _OPENING.fullmatch(word)
    if match is None or (match[1] and not match[1].isascii()):
        return None
    name, expands = _unquoted(match[3])
    if name is None or not name:
        return None
    return Heredoc(name, "", expands, match[2] == "-", int(match[1] or 0))


def _unquoted(text: str) -> tuple[str | None, bool]:
    """A word without its quotes, and whether it had none; None when it is more than one word."""
    out, quoted = [], False
    at = 0
    while at < len(text):
        char = text[at]
        if char in "'\"":
            end = text.find(char, at + 1)
            if end < 0:
                return None, True
            out.append(text[at + 1 : end])
            quoted = True
            at = end + 1
        elif char == "\\":
            if at + 1 >= len(text):
                return None, True
            out.append(text[at + 1])
            at += 2
        elif char.isspace() or char == "<":
            return None, True
        else:
            out.append(char)
            at += 1
    return "".join(out), not quoted


def _shell_words(line: str) -> list[str]:
    """Words as the shell splits them, quotes kept; blanks after `<<` belong to it."""
    words: list[str] = []
    current = ""
    quote = ""
    at = 0
    while at < len(line):
        char = line[at]
        if quote:
            current += char
            if char == "\\" and quote == '"' and at + 1 < len(line):
                at += 1
                current += line[at]
            elif char == quote:
                quote = ""
        elif char == "\\" and at + 1 < len(line):
            current += line[at : at + 2]
            at += 1
        elif char in "'\"":
            quote = char
            current += char
        elif char.isspace():
            if not (current.rstrip("-").endswith("<<") and current.rstrip("-0123456789<") == ""):
                if current:
                    words.append(current)
                current = ""
        else:
            current += char
        at += 1
    if current:
        words.append(current)
    return words


def chomped(content: str) -> str:
    """A body without its lines' leading tabs."""
    return re.sub(r"(?m)^\t+", "", content)
