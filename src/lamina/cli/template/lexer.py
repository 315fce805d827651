"""A template's text cut into pieces, and an action's into tokens, as Go cuts them.

    pieces("a {{- .B }}")  ->  "a", [Token("field", "B")]

Knows no grammar: which token may follow which is the parser's business.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lamina.errors import TemplateError

_SPACE = " \t\r\n"
_COMMENT = re.compile(r"(-\s+)?/\*.*?\*/(\s+-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      |(?P<char>'(?:[^'\\\n]|\\.)*')
      |(?P<number>[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.\d+)?))
      |(?P<field>\.[^\W\d]\w*)
      |(?P<variable>\$\w*)
      |(?P<dot>\.)
      |(?P<mark>:=|=|\||\(|\)|,)
      |(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind` as in the table above; `spaced`: white space stands before it."""

    kind: str
    text: str
    spaced: bool


Piece = str | list[Token]


def refusal(what: str) -> TemplateError:
    """What to raise for a text that is no template."""
    return TemplateError(f"template parsing error: {what}")


def pieces(text: str) -> Iterator[Piece]:
    """Texts and actions in turn; raises `TemplateError`."""
    at, trim = 0, False
    while True:
        start = text.find("{{", at)
        before = text[at:] if start < 0 else text[at:start]
        before = before.lstrip(_SPACE) if trim else before
        if start < 0:
            yield before
            return
        inside = start + 2
        yield before.rstrip(_SPACE) if _trims(text, inside) else before
        comment = _COMMENT.match(text, inside)
        if comment is not None:
            at, trim = comment.end(), comment[2] is not None
            continue
        tokens, at, trim = _action(text, inside + 1 if _trims(text, inside) else inside)
        yield tokens


def _trims(text: str, at: int) -> bool:
    """Whether a `-` here, which takes white space after it, trims what is before the action."""
    return text[at : at + 1] == "-" and text[at + 1 : at + 2] in tuple(_SPACE)


def _action(text: str, at: int) -> tuple[list[Token], int, bool]:
    """The tokens, where the text goes on, and whether the white space there is to go."""
    tokens: list[Token] = []
    while True:
        begin = at
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if text.startswith("}}", at):
            return tokens, at + 2, False
        if at > begin and text.startswith("-}}", at):
            return tokens, at + 3, True
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _unexpected(text, at)
        tokens.append(Token(found.lastgroup, found[0], at > begin or not tokens))
        at = found.end()


def _unexpected(text: str, at: int) -> TemplateError:
    if at >= len(text):
        return refusal("unclosed action: there is no }}")
    if text[at] in "\"'`":
        return refusal(f"unterminated quoted string in {text[at:][:40]!r}")
    if text.startswith("/*", at):
        return refusal("unclosed comment, or one that does not fill its action")
    return refusal(f"unexpected {text[at]!r} in an action")
