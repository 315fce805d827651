"""Image configs edited by copying: documents in, documents out, never in place.

What Lamina does not know of a document survives, because the JSON object itself is patched.
"""

from lamina.spec.strictjson import Json
from lamina.values.digest import DiffID

Document = dict[str, Json]


def empty(platform: tuple[str, str], created: str) -> Document:
    """The config of an image without layers, for `platform` (os, architecture)."""
    return {
        "architecture": platform[1],
        "config": {},
        "created": created,
        "history": [],
        "os": platform[0],
        "rootfs": {"type": "layers", "diff_ids": []},
    }


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
    history = document.get("history")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return {
        **document,
        "created": created,
        "history": [*(history if isinstance(history, list) else []), line],
        "rootfs": {
            "type": "layers",
            "diff_ids": [
                *(diff_ids if isinstance(diff_ids, list) else []),
                *([str(diff_id)] if diff_id is not None else []),
            ],
        },
    }


def with_config(document: Document, **fields: Json) -> Document:
    """The same document with fields of its `config` set; None takes a field away."""
    config = document.get("config")
    kept = dict(config) if isinstance(config, dict) else {}
    for key, value in fields.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    return {**document, "config": kept}
