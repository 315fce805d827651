"""An image of Lamina's own store as an end of a copy."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from lamina.content.directory import BlobStore
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer.ends.api import Document
from lamina.transfer.push import hold_image, manifest_for, remember_manifest
from lamina.values.digest import ImageID
from lamina.values.events import Sink


@contextmanager
def content_of(
    image: ImageID, images: ImageStore, layers: LayerStore, events: Sink
) -> Iterator["StoredSource"]:
    """The content of an image: under the manifest it has, else under one that is made and kept.

    Raises `ImageNotFound` or `StorageError`. When the block raises, nothing new is kept.
    """
    config = images.config(image)
    with images.all_or_nothing():
        hold_image(image, config, layers)
        manifest = manifest_for(lambda _: False, image, config, images, layers, events)
        yield StoredSource(manifest, images.blobs)
        remember_manifest(image, config, manifest, images)
    layers.barrier()


class StoredSource:
    """A manifest whose blobs are all in a store."""

    def __init__(self, manifest: Manifest, blobs: BlobStore) -> None:
        self._manifest = manifest
        self._blobs = blobs

    def top(self) -> Document:
        """The manifest."""
        return Document.of(self._manifest.raw, self._manifest.media_type)

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the image has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob of the store."""
        return self._blobs.open(blob.digest)
