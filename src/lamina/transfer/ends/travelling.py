"""An image on its way as content by digest, and the reverse."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import BytesIO

from lamina.content.verified import ByteStream, VerifiedReader
from lamina.errors import BadDocument
from lamina.images.api import TravellingImage
from lamina.images.ocilayout import assembled, refuse_unreadable
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer import graph
from lamina.transfer.ends.api import Document, Source, Unjudged
from lamina.values.digest import BlobDigest
from lamina.values.reference import Reference

_CHUNK = 1 << 20


class TravellingSource(Unjudged):
    """The content of an image that came with a manifest."""

    def __init__(self, image: TravellingImage, manifest: tuple[bytes, str]) -> None:
        self._manifest = manifest
        self._config = image.config
        self._layers = {each.blob.digest: each for each in image.layers if each.blob is not None}

    def top(self) -> Document:
        """Its manifest."""
        return Document.of(*self._manifest)

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the image has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A layer as it came, or the config."""
        if blob.digest == BlobDigest(self._config.id):
            return BytesIO(self._config.raw)
        layer = self._layers.get(blob.digest)
        if layer is None:
            raise BadDocument(f"the image has no blob {blob.digest.short}")
        return layer.open()


def image_of(
    source: Source, platform: tuple[str, ...], names: tuple[Reference, ...]
) -> TravellingImage:
    """The image for a platform, to be called by `names`; raises `BadInput`."""
    manifest = graph.for_platform(source, platform)
    refuse_others(manifest)
    config = ImageConfig.parse(small(source, manifest.config))
    return assembled(manifest, config, names, lambda layer: partial(verified, source, layer))


def refuse_others(manifest: Manifest) -> None:
    """Raise `BadDocument` for what is no container image."""
    if not mediatypes.is_image(manifest.media_type, manifest.config.media_type):
        kind = manifest.config.media_type[:100]
        raise BadDocument(f"this is no container image but something of type {kind!r}")
    refuse_unreadable(manifest)


def small(source: Source, blob: Descriptor) -> bytes:
    """A document that a manifest names among its blobs; raises `BadDocument`."""
    if blob.size > strictjson.LIMIT:
        raise BadDocument(f"the config {blob.digest.short} claims {blob.size} bytes")
    with verified(source, blob) as stream:
        return b"".join(iter(lambda: stream.read(_CHUNK), b""))


@contextmanager
def verified(source: Source, blob: Descriptor) -> Iterator[ByteStream]:
    """A blob's bytes; the last read raises unless they were the right ones."""
    with source.open(blob) as stream:
        yield VerifiedReader(stream, blob.digest, blob.size)
