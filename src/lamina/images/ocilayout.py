"""The OCI image layout (image-spec, image-layout.md) as a source, in a directory or a tar."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lamina.content.verified import VerifiedReader
from lamina.errors import BadDocument, InvalidReference
from lamina.images.api import BlobFacts, ByteStream, TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.images.platforms import UNFIT, best, rank
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Index, Manifest
from lamina.values.digest import Digest, ImageID
from lamina.values.reference import Reference

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
_NESTING = 4
_LOOKED_AT = 1000  # manifests, when one is searched for by its config
_DOCUMENTS_LIMIT = 64 << 20  # bytes of all manifests and configs of one archive
OpenerOf = Callable[[Descriptor], Callable[[], AbstractContextManager[ByteStream]]]
"""Gives, for a layer's descriptor, what opens its bytes."""

_READABLE = (*mediatypes.MANIFESTS, *mediatypes.INDEXES, "")
_ATTESTATION = "unknown"  # the platform that BuildKit gives to what is said of an image


class Budget:
    """How many bytes of documents one archive may have read: a few bytes can name one often."""

    def __init__(self) -> None:
        self._left = _DOCUMENTS_LIMIT

    def spend(self, size: int) -> None:
        """Count a document; raises `BadDocument`."""
        self._left -= size
        if self._left < 0:
            raise BadDocument(f"the archive's documents have over {_DOCUMENTS_LIMIT} bytes")


def is_layout(members: Members) -> bool:
    """Whether these files are an OCI layout."""
    return members.has("oci-layout") and members.has("index.json")


def images(members: Members, platform: tuple[str, ...]) -> Iterator[TravellingImage]:
    """Every image of the layout for `platform` (os, architecture); raises `BadInput`.

    What is no image (a signature, an attestation) is passed over, unless there is nothing else.
    Descriptors of one manifest are one image with several names.
    """
    found: dict[bytes, Manifest] = {}
    names: dict[bytes, list[Reference]] = {}
    known: dict[tuple[Digest, str, int], Manifest] = {}
    budget = Budget()
    passed = ""
    for descriptor in _fitting(index_of(members).manifests, platform):
        if descriptor.media_type not in _READABLE:
            passed = descriptor.media_type
            continue
        identity = (descriptor.digest, descriptor.media_type, descriptor.size)
        manifest = known.get(identity)
        if manifest is None:
            manifest = _resolve(members, descriptor, platform, _NESTING)
            budget.spend(descriptor.size + manifest.config.size)
            known[identity] = manifest
        if manifest.config.media_type not in mediatypes.CONFIGS:
            passed = manifest.config.media_type
            continue
        found[manifest.raw] = manifest
        names.setdefault(manifest.raw, []).extend(names_of(descriptor))
    if passed and not found:
        raise BadDocument(f"this is no container image but something of type {passed[:100]!r}")
    for raw, manifest in found.items():
        yield _image(members, manifest, tuple(dict.fromkeys(names[raw])))


def manifests_by_config(members: Members) -> dict[ImageID, Manifest]:
    """The first manifest of the layout for each config; raises `BadInput`."""
    found: dict[ImageID, Manifest] = {}
    budget = Budget()
    for descriptor in index_of(members).manifests[:_LOOKED_AT]:
        if descriptor.media_type in mediatypes.MANIFESTS:
            budget.spend(descriptor.size)
            manifest = manifests.parse(document(members, descriptor), descriptor.media_type)
            if isinstance(manifest, Manifest):
                found.setdefault(ImageID(manifest.config.digest), manifest)
    return found


def index_of(members: Members) -> Index:
    """The layout's index.json; raises `BadInput`."""
    what = "oci-layout"
    marker = strictjson.parse(members.small(what, strictjson.LIMIT), what)
    version = strictjson.text(marker, "imageLayoutVersion", what, "1.0.0")
    if version.partition(".")[0] != "1":
        raise BadDocument(f"this is an OCI layout of the unknown version {version[:40]!r}")
    index = manifests.parse(members.small("index.json", strictjson.LIMIT), mediatypes.OCI_INDEX)
    if not isinstance(index, Index):
        raise BadDocument("index.json is no index")
    return index


def _fitting(found: tuple[Descriptor, ...], platform: tuple[str, ...]) -> list[Descriptor]:
    """Of those with one name, the ones for `platform` where there are any; no attestations."""
    groups: dict[tuple[Reference, ...], list[Descriptor]] = {}
    for each in found:
        if each.platform[0] != _ATTESTATION:
            groups.setdefault(names_of(each), []).append(each)
    chosen = []
    for group in groups.values():
        chosen += [each for each in group if rank(each, platform) < UNFIT] or group
    return chosen


def _resolve(
    members: Members, descriptor: Descriptor, platform: tuple[str, ...], depth: int
) -> Manifest:
    found = manifests.parse(document(members, descriptor), descriptor.media_type)
    if isinstance(found, Manifest):
        return found
    if not depth:
        raise BadDocument("indexes are nested too deep")
    chosen = best(found, platform, descriptor.digest.short)
    return _resolve(members, chosen, platform, depth - 1)


def document(members: Members, descriptor: Descriptor) -> bytes:
    """A small blob of the layout whole, verified; raises `BadInput`."""
    if descriptor.size > strictjson.LIMIT:
        raise BadDocument(f"the document {descriptor.digest.short} claims {descriptor.size} bytes")
    with members.open(blob_path(descriptor.digest)) as stream:
        verified = VerifiedReader(stream, descriptor.digest, descriptor.size)
        pieces = []
        while piece := verified.read(1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


def blob_path(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def names_of(descriptor: Descriptor) -> tuple[Reference, ...]:
    """The name that a layout gives an image, read as a name; none when it is not one."""
    text = descriptor.annotations.get(FULL_NAME) or descriptor.annotations.get(REF_NAME, "")
    if not text:
        return ()
    try:
        return (Reference.parse(text).with_default_tag(),)
    except InvalidReference:
        return ()


def called(descriptor: Descriptor) -> tuple[str, ...]:
    """What a layout calls an image, as it stands there; nothing for one without a name."""
    texts = (descriptor.annotations.get(key) for key in (REF_NAME, FULL_NAME))
    return tuple(text for text in texts if text)


def _image(members: Members, manifest: Manifest, names: tuple[Reference, ...]) -> TravellingImage:
    refuse_unreadable(manifest)
    config = ImageConfig.parse(document(members, manifest.config))
    return assembled(manifest, config, names, lambda layer: _opener(members, layer))


def refuse_unreadable(manifest: Manifest) -> None:
    """Raise `BadDocument` for layers that are no tars."""
    for layer in manifest.layers:
        if not mediatypes.is_layer(layer.media_type):
            kind = layer.media_type[:100]
            raise BadDocument(f"the layer {layer.digest.short} is of the unreadable type {kind!r}")


def assembled(
    manifest: Manifest, config: ImageConfig, names: tuple[Reference, ...], opener: OpenerOf
) -> TravellingImage:
    """The image that a manifest and its config make, its layers opened by `opener`.

    Raises `BadDocument` where the two do not fit.
    """
    if len(config.diff_ids) != len(manifest.layers):
        raise BadDocument(
            f"the manifest has {len(manifest.layers)} layers and the config {len(config.diff_ids)}"
        )
    layers = tuple(
        TravellingLayer(diff_id, opener(descriptor), facts(descriptor))
        for diff_id, descriptor in zip(config.diff_ids, manifest.layers, strict=True)
    )
    return TravellingImage(config, layers, names, (manifest.raw, manifest.media_type))


def facts(descriptor: Descriptor) -> BlobFacts:
    """What is to be remembered of a layer's blob."""
    return BlobFacts(descriptor.digest, descriptor.size, descriptor.media_type)


class _opener:  # noqa: N801 - a function that remembers, so that each call opens anew
    def __init__(self, members: Members, descriptor: Descriptor) -> None:
        self._members = members
        self._descriptor = descriptor

    @contextmanager
    def __call__(self) -> Iterator[ByteStream]:
        with self._members.open(blob_path(self._descriptor.digest)) as stream:
            yield VerifiedReader(stream, self._descriptor.digest, self._descriptor.size)
