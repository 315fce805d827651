"""Variables in words: `$v`, `${v}`, and every modifier, with quotes and escapes removed.

Names that were used and names that were not defined come back with the result, so that callers
can key on the one and warn of the other.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lamina.dockerfile import shellpattern
from lamina.errors import DockerfileError

_SPECIAL = "@*#?-$!"
_BLANKS = re.compile(r"(\s+)")
_DEEPEST = 50  # variables inside of variables
_LARGEST = 32 << 20  # characters that the variables of one text may come to


class Expansion(NamedTuple):
    """A text with its variables replaced; names used and, of those, names undefined."""

    text: str
    used: frozenset[str]
    undefined: frozenset[str]


def expand(
    text: str, env: Mapping[str, str], *, escape: str = "\\", raw: bool = False
) -> Expansion:
    """Replace the variables of one word; raises `DockerfileError` for bad syntax.

    With `raw` (a here-document's body) quotes are plain characters and a backslash escapes any.
    """
    reader = _Expander(text, env, "\\" if raw else escape, raw)
    found = reader.word("")
    return Expansion(found, frozenset(reader.used), frozenset(reader.undefined))


def expand_words(text: str, env: Mapping[str, str], *, escape: str = "\\") -> list[str]:
    """Replace and split: an unquoted variable may become several words."""
    reader = _Expander(text, env, escape, False)
    return reader.words()


class _Expander:
    def __init__(self, text: str, env: Mapping[str, str], escape: str, raw: bool) -> None:
        self._text = text
        self._env = env
        self._escape = escape
        self._raw = raw
        self._at = 0
        self._depth = 0
        self._size = 0
        self._keeps_escapes = False
        self.used: set[str] = set()
        self.undefined: set[str] = set()

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        char = self._text[self._at]
        self._at += 1
        return char

    def words(self) -> list[str]:
        """Split at blanks outside of quotes, those that a variable brought included."""
        found: list[str] = []
        current = ""
        while self._at < len(self._text):
            char = self._peek()
            if not char.isspace() and char != "$":
                current += self._piece(char)
                continue
            for piece in _BLANKS.split(self._dollar() if char == "$" else self._take()):
                if not piece.isspace():
                    current += piece
                elif current:
                    found.append(current)
                    current = ""
        return [*found, current] if current else found

    def word(self, stop: str, *, keep_escapes: bool = False) -> str:
        """The text up to `stop`; with `keep_escapes` they stay beside what they escape."""
        out: list[str] = []
        before, self._keeps_escapes = self._keeps_escapes, keep_escapes
        while self._at < len(self._text):
            char = self._peek()
            if char == stop:
                self._take()
                self._keeps_escapes = before
                return "".join(out)
            out.append(self._dollar() if char == "$" else self._piece(char))
        if stop:
            raise _error(f"unexpected end of statement while looking for matching {stop!r}")
        return "".join(out)

    def _piece(self, char: str) -> str:
        self._take()
        if char == "'" and not self._raw:
            return self._single()
        if char == '"' and not self._raw:
            return self._double()
        if char != self._escape:
            return char
        mark = char if self._keeps_escapes else ""
        return mark + (self._take() if self._peek() else "")

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise _error("unexpected end of statement while looking for matching single-quote")
        found = self._text[self._at : end]
        self._at = end + 1
        return found

    def _double(self) -> str:
        out: list[str] = []
        while self._peek() != '"':
            if not self._peek():
                raise _error("unexpected end of statement while looking for matching double-quote")
            if self._peek() == "$":
                out.append(self._dollar())
                continue
            char = self._take()
            if char == self._escape:
                if self._keeps_escapes:
                    out.append(char)
                if self._peek() in ('"', "$", self._escape):
                    char = self._take()
            out.append(char)
        self._take()
        return "".join(out)

    def _dollar(self) -> str:
        self._take()
        following = self._peek()
        if following == "{":
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _error("variables are nested too deep")
            try:
                return self._braced()
            finally:
                self._depth -= 1
        name = self._name()
        if not name:
            return "$"
        return self._lookup(name) or ""

    def _name(self) -> str:
        char = self._peek()
        if char and char in _SPECIAL:
            return self._take()
        if char.isascii() and char.isdigit():
            return self._while(lambda each: each.isascii() and each.isdigit())
        return self._while(lambda each: each == "_" or each.isalpha() or each.isdecimal())

    def _while(self, fits: Callable[[str], bool]) -> str:
        start = self._at
        while self._at < len(self._text) and fits(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]

    def _lookup(self, name: str) -> str | None:
        value = self._value(name)
        if value is None:
            self.undefined.add(name)
        return value

    def _value(self, name: str) -> str | None:
        self.used.add(name)
        value = self._env.get(name)
        if value is not None:
            self._bound(len(value))
        return value

    def _bound(self, size: int) -> None:
        """Stop lines that double a variable again and again before they fill the memory."""
        self._size += size
        if self._size > _LARGEST:
            raise _error(f"the variables come to more than {_LARGEST >> 20} Mi characters")

    def _braced(self) -> str:
        self._take()
        if self._peek() in ("{", "}", ":"):
            raise _error("bad substitution")
        name = self._name()
        char = self._peek()
        if not char:
            raise _error("syntax error: missing '}'")
        if char == "}":
            self._take()
            return self._lookup(name) or ""
        return self._modified(name, self._take())

    def _modified(self, name: str, char: str) -> str:
        empty_counts = char == ":"
        if empty_counts:
            if not self._peek():
                raise _error("syntax error: missing '}'")
            char = self._take()
        if char in "+-?":
            word = self.word("}")
            return self._default(name, char, word, empty_counts)
        if empty_counts or char not in "#%/":
            raise _error(f"unsupported modifier ({char}) in substitution")
        return self._pattern(name, char)

    def _default(self, name: str, char: str, word: str, empty_counts: bool) -> str:
        value = self._value(name)
        present = value is not None and (value != "" or not empty_counts)
        if char == "+":
            return word if present else ""
        if present:
            return value or ""
        if char == "-":
            return word
        state = "not allowed to be unset" if not empty_counts else "not allowed to be empty"
        raise _error(f"{name}: {word or state}")

    def _pattern(self, name: str, char: str) -> str:
        if char == "/":
            return self._replaced(name)
        pattern = self.word("}", keep_escapes=True)
        longest = pattern.startswith(char)
        pattern = pattern[longest:]
        value = self._lookup(name) or ""
        if char == "#":
            return shellpattern.without_prefix(value, pattern, longest=longest)
        return shellpattern.without_suffix(value, pattern, longest=longest)

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._take()
        pattern = self.word("/", keep_escapes=True)
        replacement = self.word("}", keep_escapes=True)
        value = self._lookup(name) or ""
        self._bound((len(value) + 1) * len(replacement))
        return shellpattern.replaced(value, pattern, replacement, everywhere=everywhere)


def _error(message: str) -> DockerfileError:
    return DockerfileError(message)
