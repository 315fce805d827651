"""Which function answers which path: one table, matched from the right-hand end.

An image's name may hold slashes and a colon, so what follows it decides. A path may begin with
the version that the client speaks; without one the newest is meant.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from lamina.docker_api.replies import Reply
from lamina.docker_api.request import Request, Version
from lamina.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lamina.docker_api.backend import Backend

NEWEST: Version = (1, 51)
OLDEST: Version = (1, 24)

Answer = Callable[["Backend", Request], Reply]
_VERSION = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)", re.DOTALL)
_VARIABLE = re.compile(r"\{(\w+)\}")


class Route(NamedTuple):
    """What is asked how, and who answers; `{name}` in the path takes anything up to the rest."""

    method: str
    path: str
    answer: Answer


class Found(NamedTuple):
    """Who answers a request, the names that its path has, and the version it is in."""

    answer: Answer
    names: dict[str, str]
    version: Version


class Router:
    """Routes, tried in their order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(route.method, _pattern(route.path), route.answer) for route in routes]

    def find(self, method: str, path: str) -> Found:
        """The route of a path; raises `NotFound`, or `UsageError` for a version."""
        version, rest = split_version(path)
        method = "GET" if method == "HEAD" and rest == "/_ping" else method
        for wanted, pattern, answer in self._routes:
            found = pattern.fullmatch(rest) if wanted == method else None
            if found is not None:
                return Found(answer, found.groupdict(), version)
        raise NotFound("page not found")


def _pattern(path: str) -> re.Pattern[str]:
    *texts, last = _VARIABLE.split(path)
    pieces = [
        f"(?P<{text}>.+)" if number % 2 else re.escape(text) for number, text in enumerate(texts)
    ]
    return re.compile("".join([*pieces, re.escape(last)]), re.DOTALL)


def split_version(path: str) -> tuple[Version, str]:
    """The version that a path begins with, and the rest of it; raises `UsageError`."""
    found = _VERSION.fullmatch(path)
    if found is None:
        return NEWEST, path
    version = int(found[1]), int(found[2])
    if version > NEWEST:
        raise UsageError(
            f"client version {_text(version)} is too new. "
            f"Maximum supported API version is {_text(NEWEST)}"
        )
    if version < OLDEST:
        raise UsageError(
            f"client version {_text(version)} is too old. Minimum supported API version is "
            f"{_text(OLDEST)}, please upgrade your client to a newer version"
        )
    return version, found[3]


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


NEWEST_TEXT, OLDEST_TEXT = _text(NEWEST), _text(OLDEST)
