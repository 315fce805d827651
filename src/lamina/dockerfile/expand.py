"""Variables in words: `$v`, `${v}`, and every modifier, with quotes and escapes removed.

Names that were used and names that were not defined come back with the result, so that callers
can key on the one and warn of the other.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lamina.errors import DockerfileError

_SPECIAL = "@*#?-$!"


class Expansion(NamedTuple):
    """A text with its variables replaced; names used and, of those, names undefined."""

    text: str
    used: frozenset[str]
    undefined: frozenset[str]


def expand(
    text: str, env: Mapping[str, str], *, escape: str = "\\", raw: bool = False
) -> Expansion:
    """Replace the variables of one word; raises `DockerfileError` for bad syntax.

    With `raw` quotes and escapes stay (a here-document's body): only `\\$` and `\\\\` are undone.
    """
    reader = _Expander(text, env, escape, raw)
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
        current: list[str] = []
        has_word = False
        while self._at < len(self._text):
            char = self._peek()
            if char.isspace():
                self._take()
                if has_word:
                    found.append("".join(current))
                current, has_word = [], False
            elif char == "$":
                pieces = re.split(r"(\s+)", self._dollar())
                for piece in pieces:
                    if piece and piece.isspace():
                        if has_word:
                            found.append("".join(current))
                        current, has_word = [], False
                    elif piece:
                        current.append(piece)
                        has_word = True
            else:
                current.append(self._piece(char))
                has_word = True
        if has_word:
            found.append("".join(current))
        return found

    def word(self, stop: str) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            char = self._peek()
            if stop and char == stop:
                return "".join(out)
            out.append(self._dollar() if char == "$" else self._piece(char))
        if stop:
            raise _error(f"unexpected end of statement while looking for matching {stop!r}")
        return "".join(out)

    def _piece(self, char: str) -> str:
        self._take()
        if self._raw:
            if char == self._escape:
                following = self._peek()
                if following in ("$", self._escape):
                    return self._take()
                if not following:
                    return ""
            return char
        if char == "'":
            return self._single()
        if char == '"':
            return self._double()
        if char == self._escape:
            return self._take() if self._peek() else ""
        return char

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
                following = self._peek()
                if not following:
                    raise _error(
                        "unexpected end of statement while looking for matching double-quote"
                    )
                if following in ('"', "$", self._escape):
                    char = self._take()
            out.append(char)
        self._take()
        return "".join(out)

    def _dollar(self) -> str:
        self._take()
        following = self._peek()
        if following == "{":
            self._depth += 1
            if self._depth > 50:
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
        return self._while(lambda each: each == "_" or each.isalnum())

    def _while(self, fits: Callable[[str], bool]) -> str:
        start = self._at
        while self._at < len(self._text) and fits(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]

    def _lookup(self, name: str) -> str | None:
        self.used.add(name)
        value = self._env.get(name)
        if value is None:
            self.undefined.add(name)
        return value

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
                raise _error("syntax error: missing ':' in substitution")
            char = self._take()
        if char in "+-?":
            word = self.word("}")
            self._take()
            return self._default(name, char, word, empty_counts)
        if empty_counts or char not in "#%/":
            raise _error(f"unsupported modifier ({char}) in substitution")
        return self._pattern(name, char)

    def _default(self, name: str, char: str, word: str, empty_counts: bool) -> str:
        self.used.add(name)
        value = self._env.get(name)
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
        double = self._peek() == char
        if double:
            self._take()
        value = self._lookup(name)
        if char == "/":
            return self._replace(value or "", double)
        pattern = self._pattern_text("}")
        self._take()
        return _trim(value or "", pattern, char, double)

    def _pattern_text(self, stop: str) -> str:
        """A pattern or its replacement: variables expanded, escapes kept as they stand."""
        out: list[str] = []
        while self._peek() != stop:
            char = self._peek()
            if not char:
                raise _error(f"unexpected end of statement while looking for matching {stop!r}")
            if char == "$":
                out.append(self._dollar())
            elif char == "\\":
                self._take()
                if self._peek():
                    out.append("\\" + self._take())
            else:
                out.append(self._take())
        return "".join(out)

    def _replace(self, value: str, everywhere: bool) -> str:
        pattern = self._pattern_text("/")
        self._take()
        replacement = self._pattern_text("}")
        self._take()
        found = re.compile(glob_regex(pattern, greedy=True), re.DOTALL)
        return found.sub(lambda _match: replacement, value, count=0 if everywhere else 1)


def glob_regex(pattern: str, *, greedy: bool) -> str:
    """A shell pattern of `*`, `?` and escapes as a regular expression."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            out.append(".*" if greedy else ".*?")
        elif char == "?":
            out.append(".")
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        else:
            out.append(re.escape(char))
        at += 1
    return "".join(out)


def _trim(value: str, pattern: str, side: str, longest: bool) -> str:
    if side == "%":
        return _trim(value[::-1], _reversed(pattern), "#", longest)[::-1]
    match = re.match(glob_regex(pattern, greedy=longest), value, re.DOTALL)
    return value[match.end() :] if match else value


def _reversed(pattern: str) -> str:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(parts))


def _error(message: str) -> DockerfileError:
    return DockerfileError(message)
