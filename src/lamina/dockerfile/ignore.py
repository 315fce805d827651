"""`.dockerignore`: which paths of a context are not there (moby/patternmatcher's rules).

The last pattern that matches a path or one of its parents decides; `!` brings back. A pattern
without a slash matches at the root only, `**` matches any number of components.
"""

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Self

from lamina.dockerfile.glob import bracket
from lamina.errors import DockerfileError

_LIMIT = 1 << 20


class _Pattern(NamedTuple):
    text: str
    brings_back: bool
    expression: re.Pattern[str]


class IgnoreFile:
    """Compiled patterns; `excludes` answers for one path relative to the context."""

    def __init__(self, patterns: tuple[_Pattern, ...]) -> None:
        self._patterns = patterns
        self._has_exceptions = any(pattern.brings_back for pattern in patterns)

    @classmethod
    def parse(cls, text: str, filename: str = ".dockerignore") -> Self:
        """Read an ignore file; raises `DockerfileError` naming file and line."""
        if len(text) > _LIMIT:
            raise DockerfileError("the ignore file is larger than 1 MiB", file=filename)
        found = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            if line.startswith("#") or not line.strip():
                continue
            try:
                found.append(_compile(line.strip()))
            except DockerfileError as error:
                raise DockerfileError(error.brief, file=filename, line=number) from None
        return cls(tuple(pattern for pattern in found if pattern is not None))

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """The same from a list of patterns."""
        found = (_compile(pattern.strip()) for pattern in patterns if pattern.strip())
        return cls(tuple(pattern for pattern in found if pattern is not None))

    def excludes(self, path: str) -> bool:
        """Whether a path is not in the context; the last match on it or a parent decides."""
        excluded = False
        parents = _prefixes(path)
        for pattern in self._patterns:
            if pattern.brings_back != excluded:
                continue
            if any(pattern.expression.fullmatch(each) for each in parents):
                excluded = not pattern.brings_back
        return excluded

    def may_bring_back_below(self, folder: str) -> bool:
        """Whether an excluded directory must be walked, since `!` may reach into it."""
        if not self._has_exceptions:
            return False
        return any(
            pattern.brings_back and _may_reach(pattern.text, folder) for pattern in self._patterns
        )


@lru_cache(maxsize=4096)
def _prefixes(path: str) -> tuple[str, ...]:
    parts = path.split("/")
    return tuple("/".join(parts[:end]) for end in range(len(parts), 0, -1))


def _may_reach(pattern: str, folder: str) -> bool:
    if "**" in pattern:
        return True
    parts, wanted = pattern.split("/"), folder.split("/")
    if len(parts) <= len(wanted):
        return False
    for part, name in zip(parts, wanted, strict=False):
        if not re.fullmatch(_expression(part), name):
            return False
    return True


def _compile(text: str) -> _Pattern | None:
    brings_back = text.startswith("!")
    if brings_back:
        text = text[1:].strip()
        if not text:
            raise DockerfileError("illegal exclusion pattern: '!'")
    text = posixpath.normpath(text).lstrip("/") if text else text
    if text in ("", "."):
        return None
    return _Pattern(text, brings_back, re.compile(_expression(text), re.DOTALL))


def _expression(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if pattern[at : at + 1] != "*":
                out.append("[^/]*")
                continue
            at += 1
            if pattern[at : at + 1] == "/":
                at += 1
            out.append(".*" if at >= len(pattern) else "(?:.*/)?")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\":
            if at >= len(pattern):
                raise DockerfileError(f"syntax error in pattern {pattern!r}")
            out.append(re.escape(pattern[at]))
            at += 1
        elif char == "[":
            piece, at = bracket(pattern, at)
            out.append(piece)
        else:
            out.append(re.escape(char))
    return "".join(out)
