"""Manifests and indexes (OCI image-spec; docker schema 2): descriptors, checked.

The same bytes must not be readable as both: a document with `layers` and `manifests`, or whose
media type contradicts what it holds, is refused (CVE-2021-41190).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from lamina.errors import BadDocument, InvalidDigest
from lamina.spec import mediatypes, strictjson
from lamina.spec.strictjson import Json
from lamina.values.digest import BlobDigest

_LAYERS_LIMIT = 2048
_FOREIGN = {  # fields that would let another reader see another kind of document
    "manifest": ("manifests", "fsLayers", "history"),
    "index": ("config", "layers", "fsLayers", "history"),
}
_FIELDS = (
    *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject"),
    *("annotations", "fsLayers", "history"),
)
_DESCRIPTOR_FIELDS = (
    *("mediaType", "digest", "size", "urls", "annotations", "platform", "data", "artifactType"),
)


class Descriptor(NamedTuple):
    """What a blob is called, how many bytes it has and what it is."""

    media_type: str
    digest: BlobDigest
    size: int
    annotations: dict[str, str]
    platform: tuple[str, str, str]
    artifact_type: str = ""

    @classmethod
    def of(cls, media_type: str, digest: BlobDigest, size: int) -> Self:
        """One that says no more than it must."""
        return cls(media_type, digest, size, {}, ("", "", ""))

    def as_json(self) -> dict[str, Json]:
        """The descriptor as it stands in a document."""
        document: dict[str, Json] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if any(self.platform):
            names = ("os", "architecture", "variant")
            said: dict[str, Json] = dict(zip(names, self.platform, strict=True))
            document["platform"] = {name: value for name, value in said.items() if value}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return document


EMPTY_RAW = b"{}"
EMPTY = Descriptor.of(mediatypes.OCI_EMPTY, BlobDigest.of(EMPTY_RAW), len(EMPTY_RAW))
"""The config of what has none."""


class Manifest(NamedTuple):
    """One image: its config and its layers, lowest first; with the bytes it came as."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


class Index(NamedTuple):
    """Several manifests."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]


def parse(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; `media_type` is what the descriptor said it is.

    Raises `BadDocument`.
    """
    document = strictjson.parse(raw, "manifest")
    strictjson.refuse_lookalikes(document, _FIELDS, "manifest")
    stated = strictjson.text(document, "mediaType", "manifest")
    if media_type and stated and stated != media_type:
        raise BadDocument(
            f"the manifest says it is {stated[:100]!r}, and was called {media_type[:100]!r}"
        )
    kind = stated or media_type
    if kind in mediatypes.INDEXES or (not kind and "manifests" in document):
        return _index(raw, document, kind or mediatypes.OCI_INDEX)
    if kind and kind not in mediatypes.MANIFESTS:
        raise BadDocument(f"the manifest is of the unknown media type {kind[:100]!r}")
    return _manifest(raw, document, kind or mediatypes.OCI_MANIFEST)


def _manifest(raw: bytes, document: dict[str, Json], kind: str) -> Manifest:
    _check(document, "manifest")
    layers = strictjson.objects(document, "layers", "manifest")
    if len(layers) > _LAYERS_LIMIT:
        raise BadDocument(f"the manifest has {len(layers)} layers")
    config = descriptor(strictjson.mapping(document, "config", "manifest"))
    return Manifest(raw, kind, config, tuple(descriptor(layer) for layer in layers))


def _index(raw: bytes, document: dict[str, Json], kind: str) -> Index:
    _check(document, "index")
    manifests = strictjson.objects(document, "manifests", "index")
    return Index(raw, kind, tuple(descriptor(each) for each in manifests))


def _check(document: dict[str, Json], what: str) -> None:
    for field in _FOREIGN[what]:
        if field in document:
            raise BadDocument(f"the {what} also has {field!r}, so it is two documents in one")
    if strictjson.whole(document, "schemaVersion", what, 2) != 2:
        raise BadDocument(f"the {what} is not of schema version 2")


def descriptor(document: dict[str, Json]) -> Descriptor:
    """Read one descriptor; raises `BadDocument`."""
    what = "descriptor"
    strictjson.refuse_lookalikes(document, _DESCRIPTOR_FIELDS, what)
    try:
        digest = BlobDigest(strictjson.text(document, "digest", what))
    except InvalidDigest as error:
        raise BadDocument(f"a {what} has an {error.brief}") from None
    if document.get("size") is None:
        raise BadDocument(f"the {what} of {digest} has no size")
    platform = strictjson.mapping(document, "platform", what)
    return Descriptor(
        strictjson.text(document, "mediaType", what),
        digest,
        strictjson.whole(document, "size", what),
        strictjson.text_map(document, "annotations", what) or {},
        (
            strictjson.text(platform, "os", what),
            strictjson.text(platform, "architecture", what),
            strictjson.text(platform, "variant", what),
        ),
        strictjson.text(document, "artifactType", what),
    )


def artifact(kind: str, content: Descriptor, subject: Descriptor) -> bytes:
    """The canonical bytes of a manifest of one blob that says something about another manifest.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
    """
    return strictjson.dump(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_MANIFEST,
            "artifactType": kind,
            "config": EMPTY.as_json(),
            "layers": [content.as_json()],
            "subject": subject.as_json(),
        }
    )


def index(manifests: Iterable[dict[str, Json]]) -> bytes:
    """The canonical bytes of an OCI index of descriptors."""
    return strictjson.dump(
        {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": list(manifests)}
    )


NO_ANNOTATIONS: Mapping[str, str] = {}


def build(
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> bytes:
    """The canonical bytes of an OCI manifest."""
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    return strictjson.dump(_annotated(document, annotations))


def build_index(
    manifests: tuple[Descriptor, ...], annotations: Mapping[str, str] = NO_ANNOTATIONS
) -> bytes:
    """The canonical bytes of an OCI index."""
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_INDEX,
        "manifests": [each.as_json() for each in manifests],
    }
    return strictjson.dump(_annotated(document, annotations))


def _annotated(document: dict[str, Json], annotations: Mapping[str, str]) -> dict[str, Json]:
    return {**document, "annotations": dict(annotations)} if annotations else document


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """What a manifest is annotated with; what is no text is passed over, as by docker."""
    said = strictjson.parse(manifest.raw, "manifest").get("annotations")
    if not isinstance(said, dict):
        return {}
    return {key: value for key, value in said.items() if isinstance(value, str)}
