"""`docker save`'s archive before docker 1.10 as a source: layers that name their parents.

    repositories         {"name": {"tag": "<id>"}}; absent where an ID was saved
    <id>/VERSION         1.0
    <id>/json            the layer's own config, with its parent's ID
    <id>/layer.tar

The IDs are names and no digests, so nothing here is verified; the image ID is made of what is
read, and is that which docker 1.10 to 24 gives the image (image/v1/imagev1.go).
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager

from lamina.archive.compress import open_decompressed
from lamina.errors import BadDocument, InvalidReference
from lamina.images.api import ByteStream, TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.images.ocilayout import Budget
from lamina.spec import strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.strictjson import Json
from lamina.values.digest import DiffID
from lamina.values.reference import Reference

_ID = re.compile(r"[0-9a-f]{64}")
_DEPTH = 1000  # layers of one image
_LAYERS = 2000  # of all images: links make many of one, and each is read
_NOT_THE_IMAGES = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
_ZERO_TIME = "0001-01-01T00:00:00Z"  # what Go writes for no time
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\s+', re.DOTALL)
_ESCAPED = {  # what Go's writer does not leave as it is in a string
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}
_TO_ESCAPE = re.compile(b"|".join(_ESCAPED))


def is_archive(members: Members) -> bool:
    """Whether these files are such an archive."""
    return bool(_layers(members))


def images(members: Members) -> Iterator[TravellingImage]:
    """Every image that has a name, or is not on the way to another; raises `BadInput`."""
    layers = _read(members)
    names = _names(members)
    lost = sorted(set(names) - set(layers))
    if lost:
        raise BadDocument(f"repositories names the image {lost[0][:80]!r}, which is not there")
    parents = {layer.parent for layer in layers.values()}
    for each in layers:
        if each in names or each not in parents:
            yield _image(_chain(each, layers), tuple(names.get(each, ())))


def _read(members: Members) -> dict[str, "_Layer"]:
    found = _layers(members)
    if len(found) > _LAYERS:
        raise BadDocument(f"the archive has {len(found)} layers, more than {_LAYERS}")
    layers = {}
    budget = Budget()
    for each in found:
        layers[each] = _Layer(members, each)
        budget.spend(len(layers[each].raw))
    return layers


def _layers(members: Members) -> list[str]:
    return [
        name
        for name in members.folders()
        if _ID.fullmatch(name) and members.has(f"{name}/json") and members.has(f"{name}/layer.tar")
    ]


def _names(members: Members) -> dict[str, list[Reference]]:
    """The names of each layer's ID."""
    what = "repositories"
    if not members.has(what):
        return {}
    found: dict[str, list[Reference]] = {}
    document = strictjson.parse(members.small(what, strictjson.LIMIT), what)
    for name in document:
        tags = strictjson.text_map(document, name, what) or {}
        for tag, layer in tags.items():
            try:
                found.setdefault(layer, []).append(Reference.parse(f"{name}:{tag}"))
            except InvalidReference as error:
                raise BadDocument(f"{what} has an {error.brief}") from None
    return found


class _Layer:
    """One layer's own documents, and its tar, which is read once to know its digest."""

    def __init__(self, members: Members, name: str) -> None:
        self.name = name
        self.raw = members.small(f"{name}/json", strictjson.LIMIT)
        self.document = strictjson.parse(self.raw, "json")
        self.parent = strictjson.text(self.document, "parent", "json")
        self._members = members
        self._diff_id: DiffID | None = None

    def open(self) -> AbstractContextManager[ByteStream]:
        """Its tar."""
        return self._members.open(f"{self.name}/layer.tar")

    def diff_id(self) -> DiffID:
        """The digest of its plain tar."""
        if self._diff_id is None:
            counted = hashlib.sha256()
            with self.open() as stream, open_decompressed(stream, counted.update) as plain:
                plain.drain()
            self._diff_id = DiffID(f"sha256:{counted.hexdigest()}")
        return self._diff_id


def _chain(top: str, layers: dict[str, _Layer]) -> list[_Layer]:
    """A layer and all below it, lowest first."""
    chain: list[_Layer] = []
    at = top
    while at:
        layer = layers.get(at)
        if layer is None:
            raise BadDocument(f"the image {top[:12]} stands on the missing layer {at[:12]!r}")
        if len(chain) >= _DEPTH:
            raise BadDocument(f"the image {top[:12]} has more than {_DEPTH} layers")
        chain.append(layer)
        at = layer.parent
    return chain[::-1]


def _image(chain: list[_Layer], names: tuple[Reference, ...]) -> TravellingImage:
    layers = tuple(TravellingLayer(layer.diff_id(), layer.open, None) for layer in chain)
    config = _config(chain)
    return TravellingImage(ImageConfig.parse(config), layers, names, None)


def _config(chain: list[_Layer]) -> bytes:
    """The topmost layer's own config, with the layers and the history of all, as Go writes it."""
    import msgspec  # of all archives these alone need it

    fields = msgspec.json.decode(chain[-1].raw, type=dict[str, msgspec.Raw])
    kept = {name: bytes(raw) for name, raw in fields.items() if name not in _NOT_THE_IMAGES}
    kept["rootfs"] = _written(
        {"type": "layers", "diff_ids": [str(layer.diff_id()) for layer in chain]}
    )
    kept["history"] = _written([_history(layer) for layer in chain])
    pairs = [_written(name) + b":" + kept[name] for name in sorted(kept, key=str.encode)]
    return _as_go_writes(b"{" + b",".join(pairs) + b"}")


def _history(layer: _Layer) -> dict[str, Json]:
    made = strictjson.mapping(layer.document, "container_config", "json")
    words = strictjson.texts(made, "Cmd", "json") or ()
    told: dict[str, Json] = {
        "created": strictjson.text(layer.document, "created", "json", _ZERO_TIME),
        "author": strictjson.text(layer.document, "author", "json"),
        "created_by": " ".join(words),
        "comment": strictjson.text(layer.document, "comment", "json"),
    }
    return {name: value for name, value in told.items() if value}


def _written(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _as_go_writes(raw: bytes) -> bytes:
    """Without white space, and with what HTML would misread escaped in strings."""

    def token(found: re.Match[bytes]) -> bytes:
        text = found[0]
        return _TO_ESCAPE.sub(lambda each: _ESCAPED[each[0]], text) if text[:1] == b'"' else b""

    return _TOKEN.sub(token, raw)
