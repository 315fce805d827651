"""One request as a value: its path, version, query and headers, in both dialects of the clients.

Go's clients write `1` and `{"label":{"a":true}}`, docker-py `True` and `{"label":["a"]}`. Knows
no socket but by the body it hands out.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs

from lamina.errors import UsageError

Version = tuple[int, int]
Document = dict[str, object]
Filters = Mapping[str, tuple[str, ...]]

_FALSE = frozenset(("", "0", "no", "false", "none"))
_NEUTRAL = frozenset(("", "null", "[]", "{}"))  # what old clients send for a thing not asked for
_MOST_FIELDS = 1000
_LONGEST_NUMBER = 20  # characters
_LARGEST_DOCUMENT = 4 << 20  # bytes


class Body(Protocol):
    """A request's body; `read` waits for what is to come, b"" is its end."""

    def read(self, size: int = ..., /) -> bytes:
        """Some bytes of it, at most `size`."""


class Query:
    """The parameters of a request."""

    def __init__(self, text: str) -> None:
        """Raises `UsageError` for what cannot be read."""
        try:
            self._fields = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise UsageError(f"the query cannot be read: {error}") from None

    def text(self, name: str, default: str = "") -> str:
        """The value of a parameter; of several the first, as Go's servers have it."""
        return self._fields.get(name, [default])[0]

    def all(self, name: str) -> list[str]:
        """Every value of one that may be said more than once, without empty ones."""
        return [each for each in self._fields.get(name, ()) if each]

    def has(self, name: str) -> bool:
        """Whether it was said at all."""
        return name in self._fields

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value, as any client spells it."""
        if name not in self._fields:
            return default
        return self.text(name).strip().lower() not in _FALSE

    def number(self, name: str) -> int | None:
        """A whole number, None where none was said; raises `UsageError`."""
        text = self.text(name)
        if text in _NEUTRAL:
            return None
        if len(text) > _LONGEST_NUMBER:
            raise UsageError(f"invalid value {text[:40]!r} for {name}: it is too long")
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"invalid value {text[:40]!r} for {name}: it is a number") from None

    def document(self, name: str) -> object:
        """What is JSON within a parameter, None for nothing; raises `UsageError`."""
        text = self.text(name)
        if text in _NEUTRAL:
            return None
        try:
            return parsed(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the parameter {name} is no JSON: {error}") from None

    def filters(self) -> Filters:
        """What narrows a list down: names with what they are to match; raises `UsageError`."""
        said = self.document("filters")
        if said is None:
            return {}
        if not isinstance(said, dict):
            raise UsageError("invalid filters: they are no JSON object")
        return {str(name): _wanted(str(name), values) for name, values in said.items()}


def _wanted(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, dict):
        return tuple(str(each) for each, counts in values.items() if counts)
    if isinstance(values, list):
        return tuple(_spelled(each) for each in values)
    if isinstance(values, str | bool | int):
        return (_spelled(values),)
    raise UsageError(f"invalid filter {name[:40]!r}: its values are no list")


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse_unknown(filters: Filters, known: tuple[str, ...]) -> None:
    """Raise `UsageError` for a filter that a list does not have, as docker does."""
    for name in filters:
        if name not in known:
            raise UsageError(
                f"invalid filter '{name[:40]}'", hint=f"there are {', '.join(sorted(known))}"
            )


class Request(NamedTuple):
    """What a client asks; header names are in lower case, `names` are the path's own variables."""

    method: str
    path: str
    version: Version
    query: Query
    headers: Mapping[str, str]
    body: Body
    names: Mapping[str, str]

    @property
    def name(self) -> str:
        """The thing that the path names."""
        return self.names["name"]

    @property
    def wants_hijack(self) -> bool:
        """Whether the client asks for the connection itself."""
        return "upgrade" in self.headers.get("connection", "").lower()

    def before(self, major: int, minor: int) -> bool:
        """Whether the client speaks an older version than that."""
        return self.version < (major, minor)

    def document(self) -> Document:
        """The JSON object of the body, empty for none; raises `UsageError`."""
        raw = whole(self.body, _LARGEST_DOCUMENT)
        if not raw.strip():
            return {}
        try:
            found = parsed(raw)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the body is no JSON: {error}") from None
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise UsageError("the body is no JSON object")
        return found


def parsed(text: str | bytes) -> object:
    """What is JSON; raises ValueError or RecursionError, for a lone surrogate, too."""
    found: object = json.loads(text)
    json.dumps(found, ensure_ascii=False).encode()  # half a pair can be written nowhere
    return found


def whole(body: Body, limit: int) -> bytes:
    """All of a body; raises `UsageError` for more than `limit` bytes."""
    pieces, size = [], 0
    while piece := body.read(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise UsageError(f"the body has more than {limit} bytes")
    return b"".join(pieces)
