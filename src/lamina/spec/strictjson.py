"""JSON from outside, believed only as far as it is unambiguous and small.

Duplicate keys (also those that differ in case alone, which Go's reader would take) are refused:
two readers of the same bytes must not see two documents. Every accessor raises `BadDocument`
with the path of the offending value.
"""

import json
from typing import Final, NoReturn, TypeAlias

from lamina.errors import BadDocument

LIMIT: Final = 4 << 20  # bytes, as containers/image
_DEPTH = 64

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def parse(data: bytes, what: str) -> dict[str, Json]:
    """The object in `data`; raises `BadDocument` naming `what`."""
    if len(data) > LIMIT:
        raise BadDocument(f"the {what} is {len(data)} bytes, more than the {LIMIT} allowed")
    if _depth(data) > _DEPTH:
        raise BadDocument(f"the {what} is nested more than {_DEPTH} deep")
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except BadDocument as error:
        raise BadDocument(f"the {what} {error.brief}") from None
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"the {what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadDocument(f"the {what} is not a JSON object")
    return document


def parse_list(data: bytes, what: str) -> list[Json]:
    """The list in `data`; raises `BadDocument`."""
    wrapped = parse(b'{"list":' + data + b"}", what)
    found = wrapped["list"]
    if not isinstance(found, list):
        raise BadDocument(f"the {what} is not a JSON list")
    return found


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for byte in data.translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len({key.lower() for key in document}) != len(pairs):
        folded = [key.lower() for key, _ in pairs]
        twice = next(key for key in folded if folded.count(key) > 1)
        # A label or an annotation may well differ from another in case alone; a field may not.
        if len(document) != len(pairs) or twice in _FIELDS:
            raise BadDocument(f"has the key {twice!r} more than once")
    return document


_FIELDS = frozenset(
    (
        *("schemaversion", "mediatype", "config", "layers", "manifests", "digest", "size", "urls"),
        *("rootfs", "diff_ids", "history", "architecture", "os", "created", "repotags"),
        *("env", "cmd", "entrypoint", "user", "workingdir", "volumes", "labels"),
    )
)


def _no_constant(name: str) -> NoReturn:
    raise BadDocument(f"holds {name}, which is no JSON")


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
    """Canonical bytes: sorted keys, no white space, UTF-8. Equal documents, equal bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")
