"""A build cache as a document for others: which steps led to which chains, and of what layers
those are made. Pure; `docs/format/build-cache.md` has the form.

Believed is no more than the form says, and of that nothing about a layer's bytes: whoever takes a
layer holds it against the digest and the diff ID that stand here.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from lamina.build.mountname import MountName
from lamina.build.record import Filling, Link, Portable, Record
from lamina.errors import BadDocument, InvalidDigest
from lamina.spec import strictjson
from lamina.spec.strictjson import Json
from lamina.values.digest import BlobDigest, ChainID, DiffID, Digest

MEDIA_TYPE = "application/vnd.lamina.build.cache.v1+json"
_VERSION = 1
_ROWS = 20_000
_NUMBERS = re.compile(r"\d{1,9}:\d{1,9}", re.ASCII)
_LATEST = 1 << 33  # seconds since the epoch
LONGEST_ID = 4_096  # characters
_MODES = 0o7777
_LARGEST = 1 << 42  # bytes of a cache mount's tar
_WHAT = "build cache"
D = TypeVar("D", bound=Digest)


# --- writing ----------------------------------------------------------------------------


def dump(found: Portable) -> Json:
    """The document; equal caches give equal ones."""
    steps: list[Json] = []
    facts: dict[str, list[Json]] = {"digest": [], "owner": []}
    for key, record in sorted(found.records.items()):
        name, value = _fact(record)
        if name:
            facts[name].append({"key": key, name: value})
        else:
            steps.append(_step(key, record))
    document: dict[str, Json] = {
        "version": _VERSION,
        "layers": [_link(link) for _, link in sorted(found.links.items())],
        "steps": steps,
        "contents": facts["digest"],
        "owners": facts["owner"],
    }
    if found.mounts:  # a member that older readers pass over
        document["mounts"] = [_mount(each) for _, each in sorted(found.mounts.items())]
    return document


def _mount(found: Filling) -> Json:
    name = found.name
    row: dict[str, Json] = {
        "id": name.id,
        "mode": name.mode,
        "owner": f"{name.uid}:{name.gid}",
        "diffId": str(found.diff_id),
        "size": found.size,
        "blob": str(found.blob),
    }
    if name.parent is not None:
        row["parent"] = str(name.parent)
    return row


def _link(link: Link) -> Json:
    row: dict[str, Json] = {"diffId": str(link.diff_id)}
    if link.below is not None:
        row["below"] = str(link.below)
    if link.blob is not None:
        row["blob"] = str(link.blob)
    return row


def _step(key: str, record: Record) -> Json:
    row: dict[str, Json] = {"key": key, "created": record.created}
    if record.chain_id is not None:
        row["chain"] = str(record.chain_id)
    return row


def _fact(record: Record) -> tuple[str, str]:
    """What a record says of a chain, and not of a step: its name and its value."""
    if record.chain_id is None:
        found = json.loads(record.inputs)
        for name in ("digest", "owner"):
            if isinstance(found.get(name), str):
                return name, found[name]
    return "", ""


# --- reading ----------------------------------------------------------------------------


def parse(document: Mapping[str, Json], source: str) -> Portable:
    """Read a document of the cache that people call `source`; raises `BadDocument`."""
    found = dict(document)
    version = strictjson.whole(found, "version", _WHAT)
    if version != _VERSION:
        raise BadDocument(f"the {_WHAT} is of version {version}, and only {_VERSION} is known")
    names = ("layers", "steps", "contents", "owners")
    layers, steps, contents, owners = (strictjson.objects(found, name, _WHAT) for name in names)
    mounts = strictjson.objects(found, "mounts", _WHAT)
    count = len(layers) + len(steps) + len(contents) + len(owners) + len(mounts)
    if count > _ROWS:
        raise BadDocument(f"the {_WHAT} has {count} rows, more than the {_ROWS} allowed")
    try:
        return Portable(
            dict(
                [
                    *_steps(steps, source),
                    *_contents(contents, source),
                    *_owners(owners, source),
                ]
            ),
            linked(map(_row, layers)),
            {each.name.key: each for each in map(_filling, mounts)},
        )
    except InvalidDigest as error:
        raise BadDocument(f"the {_WHAT} has an {error.brief}") from None


def linked(links: Iterable[Link]) -> dict[ChainID, Link]:
    """Links by the chains that they are the tops of."""
    return {ChainID.extend(link.below, link.diff_id): link for link in links}


def _row(row: dict[str, Json]) -> Link:
    return Link(
        DiffID(strictjson.text(row, "diffId", _WHAT)),
        _optional(row, "below", ChainID),
        _optional(row, "blob", BlobDigest),
    )


def _steps(rows: Iterable[dict[str, Json]], source: str) -> Iterable[tuple[str, Record]]:
    for row in rows:
        chain = _optional(row, "chain", ChainID)
        yield _key(row), Record(chain, "{}", _time(row), source)


def _contents(rows: Iterable[dict[str, Json]], source: str) -> Iterable[tuple[str, Record]]:
    for row in rows:
        digest = str(Digest(strictjson.text(row, "digest", _WHAT)))
        yield _key(row), Record(None, json.dumps({"digest": digest, "files": {}}), 0.0, source)


def _owners(rows: Iterable[dict[str, Json]], source: str) -> Iterable[tuple[str, Record]]:
    for row in rows:
        owner = _owner(row)
        yield _key(row), Record(None, json.dumps({"owner": owner}), 0.0, source)


def _owner(row: dict[str, Json]) -> str:
    owner = strictjson.text(row, "owner", _WHAT)
    if not _NUMBERS.fullmatch(owner):
        raise BadDocument(f"the {_WHAT} has an owner that is no two numbers")
    return owner


def _filling(row: dict[str, Json]) -> Filling:
    uid, gid = map(int, _owner(row).split(":"))
    mode = strictjson.whole(row, "mode", _WHAT)
    size = strictjson.whole(row, "size", _WHAT)
    title = strictjson.text(row, "id", _WHAT)
    is_fit = title.isprintable() and 0 < len(title) <= LONGEST_ID
    if not (is_fit and 0 <= mode <= _MODES and 0 <= size <= _LARGEST):
        raise BadDocument(f"the {_WHAT} has a cache mount whose ID, mode or size is none")
    return Filling(
        MountName(title, _optional(row, "parent", ChainID), mode, uid, gid),
        DiffID(strictjson.text(row, "diffId", _WHAT)),
        size,
        BlobDigest(strictjson.text(row, "blob", _WHAT)),
    )


def _key(row: dict[str, Json]) -> str:
    return str(Digest(strictjson.text(row, "key", _WHAT)))


def _time(row: dict[str, Json]) -> float:
    value = row.get("created")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise BadDocument(f"created of a step of the {_WHAT} is no time")
    return float(value)


def _optional(row: dict[str, Json], name: str, kind: Callable[[str], D]) -> D | None:
    text = strictjson.text(row, name, _WHAT)
    return kind(text) if text else None
