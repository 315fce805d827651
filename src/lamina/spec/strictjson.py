"""JSON from outside, believed only as far as it is unambiguous and small.

Two readers of the same bytes must not see two documents: UTF-8 alone, no key twice, and no key
that differs from a known one in case alone, which Go's reader would take for it. Every accessor
raises `BadDocument` naming the offending value. Knows no document's shape.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NoReturn, TypeAlias

from lamina.errors import BadDocument

LIMIT: Final = 4 << 20  # bytes, as containers/image
_DEPTH = 64
_DIGITS = 40
# Possessive, and to the end where a string has none: linear in whatever is thrown at it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a surrogate pair, perhaps without the other

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def parse(data: bytes, what: str, limit: int = LIMIT) -> dict[str, Json]:
    """The object in `data`, of `limit` bytes at most; raises `BadDocument` naming `what`."""
    document = _load(data, what, limit)
    if not isinstance(document, dict):
        raise BadDocument(f"the {what} is not a JSON object")
    return document


def parse_list(data: bytes, what: str) -> list[Json]:
    """The list in `data`; raises `BadDocument`."""
    document = _load(data, what)
    if not isinstance(document, list):
        raise BadDocument(f"the {what} is not a JSON list")
    return document


def _load(data: bytes, what: str, limit: int = LIMIT) -> Json:
    if len(data) > limit:
        raise BadDocument(f"the {what} is {len(data)} bytes, more than the {limit} allowed")
    if _is_deep(data):
        raise BadDocument(f"the {what} is nested more than {_DEPTH} deep")
    try:
        document: Json = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
        return _mended(document) if _HALF.search(data) else document
    except BadDocument as error:
        raise BadDocument(f"the {what} {error.brief}") from None
    except UnicodeDecodeError as error:
        raise BadDocument(f"the {what} is not UTF-8: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"the {what} is not JSON: {error}") from None


def _is_deep(data: bytes) -> bool:
    if data.count(b"[") + data.count(b"{") <= _DEPTH:
        return False
    depth = 0
    for byte in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > _DEPTH:
            return True
    return False


_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        raise BadDocument(f"has the key {twice[:80]!r} more than once")
    return document


def _no_constant(name: str) -> NoReturn:
    raise BadDocument(f"holds {name}, which is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadDocument(f"holds the number {digits[:20]}, which is out of all bounds")
    return number


def _short(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise BadDocument(f"holds a number of {len(digits)} digits")
    return int(digits)


def _mended(value: Json) -> Json:
    """Half surrogate pairs become U+FFFD, as Go reads them: no terminal could show them."""
    if isinstance(value, str):
        return _mended_text(value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return _unique([(_mended_text(name), _mended(item)) for name, item in value.items()])
    return value


def _mended_text(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def refuse_lookalikes(document: dict[str, Json], known: Iterable[str], what: str) -> None:
    """Raise for a key that is a `known` one but for its case: Go's reader would take it."""
    exact = frozenset(known)
    folded = {name.casefold() for name in exact}
    for name in document:
        if name not in exact and name.casefold() in folded:
            raise BadDocument(
                f"the {what} has the key {name[:80]!r}, which some readers take for another"
            )


def text(document: dict[str, Json], key: str, what: str, default: str = "") -> str:
    """The string under `key`; `default` when it is absent or null."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or "\0" in value:
        raise BadDocument(f"{key} of the {what} is not a string")
    return value


def whole(document: dict[str, Json], key: str, what: str, default: int = 0) -> int:
    """The non-negative whole number under `key`."""
    value = document.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise BadDocument(f"{key} of the {what} is not a whole number")
    return value


def texts(document: dict[str, Json], key: str, what: str) -> tuple[str, ...] | None:
    """The list of strings under `key`; None when it is absent or null."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        raise BadDocument(f"{key} of the {what} is not a list")
    found = []
    for item in value:
        if not isinstance(item, str) or "\0" in item:
            raise BadDocument(f"{key} of the {what} holds something that is not a string")
        found.append(item)
    return tuple(found)


def text_map(document: dict[str, Json], key: str, what: str) -> dict[str, str] | None:
    """The map of strings under `key`; None when it is absent or null."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadDocument(f"{key} of the {what} is not an object")
    for name, item in value.items():
        if not isinstance(item, str) or "\0" in item or "\0" in name:
            raise BadDocument(f"{key} of the {what} holds something that is not a string")
    return {name: str(item) for name, item in value.items()}


def keys(document: dict[str, Json], key: str, what: str) -> tuple[str, ...] | None:
    """The keys of the set-like object under `key` (ExposedPorts, Volumes)."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadDocument(f"{key} of the {what} is not an object")
    if any("\0" in name for name in value):
        raise BadDocument(f"{key} of the {what} holds a name with a NUL")
    return tuple(value)


def objects(document: dict[str, Json], key: str, what: str) -> tuple[dict[str, Json], ...]:
    """The list of objects under `key`; empty when it is absent or null."""
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadDocument(f"{key} of the {what} is not a list")
    found = []
    for item in value:
        if not isinstance(item, dict):
            raise BadDocument(f"{key} of the {what} holds something that is not an object")
        found.append(item)
    return tuple(found)


def mapping(document: dict[str, Json], key: str, what: str) -> dict[str, Json]:
    """The object under `key`; empty when it is absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadDocument(f"{key} of the {what} is not an object")
    return value


def dump(document: Json) -> bytes:
    """Canonical bytes: sorted keys, no white space, UTF-8. Equal documents, equal bytes.

    Bytes that were no UTF-8 where they came from (a command's arguments) become U+FFFD.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _mended_text(text).encode()
