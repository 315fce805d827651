"""The OCI image layout (image-spec, image-layout.md) as a source, in a directory or a tar."""

from collections.abc import Iterator
from contextlib import contextmanager

from lamina.content.verified import VerifiedReader
from lamina.errors import BadDocument, InvalidReference
from lamina.images.api import BlobFacts, ByteStream, TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Index, Manifest
from lamina.values.digest import Digest
from lamina.values.reference import Reference

_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_NESTING = 4


def is_layout(members: Members) -> bool:
    """Whether these files are an OCI layout."""
    return members.has("oci-layout") and members.has("index.json")


def images(members: Members, platform: tuple[str, str]) -> Iterator[TravellingImage]:
    """Every image of the layout for `platform` (os, architecture); raises `BadInput`."""
    strictjson.parse(members.small("oci-layout", strictjson.LIMIT), "oci-layout")
    raw = members.small("index.json", strictjson.LIMIT)
    index = manifests.parse(raw, mediatypes.OCI_INDEX)
    if not isinstance(index, Index):
        raise BadDocument("index.json is no index")
    for descriptor in index.manifests:
        found = _resolve(members, descriptor, platform, _NESTING)
        yield _image(members, found, _names(descriptor))


def _resolve(
    members: Members, descriptor: Descriptor, platform: tuple[str, str], depth: int
) -> Manifest:
    raw = _blob(members, descriptor)
    document = manifests.parse(raw, descriptor.media_type)
    if isinstance(document, Manifest):
        return document
    if not depth:
        raise BadDocument("indexes are nested too deep")
    for each in document.manifests:
        if each.platform[:2] in (platform, ("", "")):
            return _resolve(members, each, platform, depth - 1)
    wanted = "/".join(platform)
    raise BadDocument(f"the index {descriptor.digest.short} has no image for {wanted}")


def _blob(members: Members, descriptor: Descriptor) -> bytes:
    if descriptor.size > strictjson.LIMIT:
        raise BadDocument(f"the document {descriptor.digest.short} claims {descriptor.size} bytes")
    with members.open(_path(descriptor.digest)) as stream:
        verified = VerifiedReader(stream, descriptor.digest, descriptor.size)
        pieces = []
        while piece := verified.read(1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _names(descriptor: Descriptor) -> tuple[Reference, ...]:
    text = descriptor.annotations.get(_FULL_NAME) or descriptor.annotations.get(_REF_NAME, "")
    if not text:
        return ()
    try:
        return (Reference.parse(text).with_default_tag(),)
    except InvalidReference:
        return ()


def _image(members: Members, manifest: Manifest, names: tuple[Reference, ...]) -> TravellingImage:
    if manifest.config.media_type not in mediatypes.CONFIGS:
        kind = manifest.config.media_type
        raise BadDocument(f"this is no container image: its config is of type {kind!r}")
    config = ImageConfig.parse(_blob(members, manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise BadDocument(
            f"the manifest has {len(manifest.layers)} layers and the config {len(config.diff_ids)}"
        )
    layers = tuple(
        TravellingLayer(diff_id, _opener(members, descriptor), _facts(descriptor))
        for diff_id, descriptor in zip(config.diff_ids, manifest.layers, strict=True)
    )
    return TravellingImage(config, layers, names, (manifest.raw, manifest.media_type))


def _facts(descriptor: Descriptor) -> BlobFacts:
    return BlobFacts(descriptor.digest, descriptor.size, descriptor.media_type)


class _opener:  # noqa: N801 - a function that remembers, so that each call opens anew
    def __init__(self, members: Members, descriptor: Descriptor) -> None:
        self._members = members
        self._descriptor = descriptor

    @contextmanager
    def __call__(self) -> Iterator[ByteStream]:
        with self._members.open(_path(self._descriptor.digest)) as stream:
            yield VerifiedReader(stream, self._descriptor.digest, self._descriptor.size)
