"""Image configs edited by copying: documents in, documents out, never in place.

What Lamina does not know of a document survives, because the JSON object itself is patched.
"""

from collections.abc import Sequence

from lamina.spec.strictjson import Json
from lamina.values.digest import DiffID

Document = dict[str, Json]
_UNTOLD = "of a base image without history"
BUILD_CACHE = "io.lamina.build.cache.v1"
"""The member that holds the cache of the image's own build (docs/format/build-cache.md)."""

_OF_ANOTHER_MAKING = (
    *("container", "container_config", "docker_version", "id", "parent"),
    *(BUILD_CACHE, "moby.buildkit.cache.v0", "moby.buildkit.buildinfo.v1"),
)


def empty(platform: tuple[str, ...], created: str) -> Document:
    """The config of an image without layers, for `platform` (os, architecture, perhaps variant)."""
    variant = "".join(platform[2:])
    return {
        "architecture": platform[1],
        "config": {},
        "created": created,
        "history": [],
        "os": platform[0],
        "rootfs": {"type": "layers", "diff_ids": []},
        **({"variant": variant} if variant else {}),
    }


def as_base(document: Document) -> Document:
    """Without what a config tells of how that very image was made: a child is made otherwise."""
    kept = {key: value for key, value in document.items() if key not in _OF_ANOTHER_MAKING}
    return with_config(kept, Image=None) if "config" in kept else kept


def with_layer(
    document: Document,
    diff_id: DiffID | None,
    created: str,
    created_by: str,
    comment: str = "",
    author: str = "",
) -> Document:
    """One more line of history, with its layer unless it has none."""
    line: Document = {"created": created}
    for key, value in (("created_by", created_by), ("comment", comment), ("author", author)):
        if value:
            line[key] = value
    if diff_id is None:
        line["empty_layer"] = True
    diff_ids = _diff_ids(document)
    added: list[Json] = [str(diff_id)] if diff_id is not None else []
    return {
        **document,
        "created": created,
        "history": [*_history(document, len(diff_ids)), line],
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *added]},
    }


def squashed(document: Document, first: int, diff_id: DiffID, comment: str) -> Document:
    """The layers from number `first` (the lowest is 0) on are one; their lines have none now."""
    diff_ids = _diff_ids(document)
    lines: list[Json] = []
    number = 0
    for line in _history(document, len(diff_ids)):
        told = isinstance(line, dict) and not line.get("empty_layer")
        is_squashed = told and number >= first
        lines.append(
            {**line, "empty_layer": True} if is_squashed and isinstance(line, dict) else line
        )
        number += told
    kept: Document = {**document, "history": lines}
    kept["rootfs"] = {"type": "layers", "diff_ids": diff_ids[:first]}
    created = document.get("created")
    return with_layer(kept, diff_id, created if isinstance(created, str) else "", "", comment)


def slimmed(document: Document, first: int, diff_ids: Sequence[DiffID | None]) -> Document:
    """The layers from number `first` on are others; the line of one that is None has none now."""
    before = _diff_ids(document)
    lines: list[Json] = []
    number = 0
    for line in _history(document, len(before)):
        told = isinstance(line, dict) and not line.get("empty_layer")
        is_gone = told and number >= first and diff_ids[number - first] is None
        lines.append({**line, "empty_layer": True} if is_gone and isinstance(line, dict) else line)
        number += told
    kept: list[Json] = [*before[:first], *(str(each) for each in diff_ids if each is not None)]
    return {**document, "history": lines, "rootfs": {"type": "layers", "diff_ids": kept}}


def _diff_ids(document: Document) -> list[Json]:
    rootfs = document.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return found if isinstance(found, list) else []


def _history(document: Document, layers: int) -> list[Json]:
    """The lines so far, and one for each layer that none tells of: a new one must be the last's."""
    found = document.get("history")
    lines: list[Json] = found if isinstance(found, list) else []
    told = sum(1 for line in lines if not (isinstance(line, dict) and line.get("empty_layer")))
    untold: list[Json] = [{"created_by": "", "comment": _UNTOLD} for _ in range(told, layers)]
    return [*lines, *untold]


def config_of(document: Document) -> Document:
    """The document's `config` object: how containers are run; empty where it has none."""
    found = document.get("config")
    return found if isinstance(found, dict) else {}


def with_config(document: Document, **fields: Json) -> Document:
    """The same document with fields of its `config` set; None takes a field away."""
    kept = dict(config_of(document))
    for key, value in fields.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    return {**document, "config": kept}
