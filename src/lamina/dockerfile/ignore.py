"""`.dockerignore`: which paths of a context are not there (moby/patternmatcher's rules).

The last pattern that matches a path or one of its parents decides; `!` brings back. A pattern
without a slash matches at the root only, `**` matches any number of components.
"""

import posixpath
import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple, Self

from lamina.dockerfile import glob
from lamina.dockerfile.position import Position
from lamina.errors import DockerfileError

_LIMIT = 1 << 20  # characters


class _Pattern(NamedTuple):
    brings_back: bool
    expression: str
    components: tuple[tuple[str, ...], ...]


class _Run(NamedTuple):
    """Patterns in a row that all exclude, or all bring back: their order is of no matter."""

    brings_back: bool
    expression: re.Pattern[str]


class IgnoreFile:
    """Compiled patterns; `excludes` answers for one path relative to the context."""

    __slots__ = ("_exceptions", "_runs")

    def __init__(self, patterns: Iterable[_Pattern]) -> None:
        known = tuple(patterns)
        self._exceptions = tuple(each.components for each in known if each.brings_back)
        self._runs = tuple(
            _Run(brings_back, _any_of(each.expression for each in run))
            for brings_back, run in groupby(known, key=lambda each: each.brings_back)
        )

    @classmethod
    def parse(cls, text: str, filename: str = ".dockerignore") -> Self:
        """Read an ignore file; raises `DockerfileError` naming file and line."""
        if len(text) > _LIMIT:
            raise DockerfileError("the ignore file is larger than 1 MiB", file=filename)
        found = []
        lines = tuple(text.removeprefix("\ufeff").removesuffix("\n").split("\n"))
        for number, line in enumerate(lines, 1):
            if line.startswith("#") or not line.strip():
                continue
            try:
                found.append(_read(line.strip()))
            except DockerfileError as error:
                here = Position(filename, number, number, line, lines)
                raise here.error(error.brief, hint=error.hint) from None
        return cls(each for each in found if each is not None)

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """The same from a list of patterns."""
        found = [_read(pattern.strip()) for pattern in patterns if pattern.strip()]
        return cls(each for each in found if each is not None)

    def excludes(self, path: str) -> bool:
        """Whether a path is not in the context; the last match on it or a parent decides."""
        excluded = False
        for run in self._runs:
            if run.brings_back == excluded and run.expression.fullmatch(path):
                excluded = not excluded
        return excluded

    def may_bring_back_below(self, folder: str) -> bool:
        """Whether an excluded directory must be walked, since `!` may reach into it."""
        names = folder.split("/")
        return any(_may_reach(components, names) for components in self._exceptions)


def _any_of(expressions: Iterable[str]) -> re.Pattern[str]:
    """What fits one of them, and everything below that."""
    return re.compile(f"(?:{'|'.join(expressions)})(?:/.*)?", re.DOTALL)


def _may_reach(components: tuple[tuple[str, ...], ...], names: list[str]) -> bool:
    for component, name in zip(components, names, strict=False):
        if glob.STARS in component:
            return True
        if not re.fullmatch(glob.expression(list(component)), name, re.DOTALL):
            return False
    return len(components) > len(names)


def _read(text: str) -> _Pattern | None:
    brings_back = text.startswith("!")
    if brings_back:
        text = text[1:].strip()
        if not text:
            raise DockerfileError("illegal exclusion pattern: '!'", hint="name what to bring back")
    text = posixpath.normpath(text).lstrip("/")
    if text in ("", "."):
        return None
    pieces = tuple(glob.tokens(text, for_ignore=True))
    return _Pattern(brings_back, _expression(text, pieces), _components(pieces))


def _components(pieces: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    runs = groupby(pieces, key=lambda piece: piece == glob.SLASH)
    return tuple(tuple(run) for is_slash, run in runs if not is_slash)


def _expression(text: str, pieces: tuple[str, ...]) -> str:
    if text.startswith("**") and not text.startswith("**/") and not glob.has_magic(text[2:]):
        return ".*" + re.escape(text[2:])  # a plain end, in the middle of a name or not
    out: list[str] = []
    start = 0
    for at, piece in enumerate(pieces):
        if piece == glob.STARS:
            out.append(glob.expression(list(pieces[start:at])))
            out.append("(?:.*/)?" if at + 1 < len(pieces) else ".*")
            start = at + 1
    return "".join((*out, glob.expression(list(pieces[start:]))))
