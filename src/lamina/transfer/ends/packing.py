"""An image whose layers are plain tars, made into content: its layers packed, and a manifest.

Equal images become equal bytes on every machine, so that what was sent once is not sent again.
The config, and so the image's ID, stays.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from io import BytesIO
from typing import NamedTuple

from lamina.archive.compress import open_decompressed
from lamina.archive.entry import Write
from lamina.archive.packing import Packing
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument, DigestMismatch, from_oserror
from lamina.fs.atomic import write_all
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.intoto import Attestation
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Document, Opener, Unjudged
from lamina.values.digest import BlobDigest
from lamina.values.events import LayerProgress, Sink

_CHUNK = 1 << 20
Scratch = Callable[[], int]
"""Gives the descriptor of a new file that has no name."""


@contextmanager
def packed(image: TravellingImage, scratch: Scratch, events: Sink) -> Iterator["PackedSource"]:
    """The content of an image; its compressed layers lie in files of `scratch` meanwhile.

    Raises `BadInput` for a layer that is not what the config says, or `StorageError`.
    """
    with ExitStack() as files:
        layers = []
        for layer in image.layers:
            descriptor = scratch()
            files.callback(os.close, descriptor)
            events(LayerProgress(layer.diff_id.short, "compressing", 0, 0))
            layers.append(pack_layer(descriptor, partial(unpacked, layer), Packing()))
            events(LayerProgress(layer.diff_id.short, "compressed", 0, 0))
        yield PackedSource(image.config, layers)


class PackedLayer(NamedTuple):
    """A layer as it is to travel, and what opens it."""

    blob: Descriptor
    open: Opener


def pack_layer(file: int, fill: Callable[[Write], object], packing: Packing | None) -> PackedLayer:
    """Write the tar that `fill` gives to a new file, compressed or (None) plain."""
    counted = hashlib.sha256()
    size = 0

    def out(data: bytes) -> None:
        nonlocal size
        counted.update(data)
        size += len(data)
        write_all(file, data)

    if packing is None:
        fill(out)
    else:
        with packing.writer(out) as write:
            fill(write)
    kind = mediatypes.layer(packing.kind if packing is not None else "")
    digest = BlobDigest(f"sha256:{counted.hexdigest()}")
    return PackedLayer(Descriptor.of(kind, digest, size), partial(Reading, file))


class PackedSource(Unjudged):
    """An image's content, its layers packed; `descriptor` annotates how an index names it."""

    def __init__(
        self,
        config: ImageConfig,
        layers: Sequence[PackedLayer],
        annotations: Mapping[str, str] = manifests.NO_ANNOTATIONS,
        descriptor: Mapping[str, str] = manifests.NO_ANNOTATIONS,
    ) -> None:
        self._layers = {each.blob.digest: each.open for each in layers}
        self._platform = (config.os, config.architecture, config.variant)
        self._config = config.raw
        self._said = dict(descriptor)
        digest = BlobDigest(config.id)
        about = Descriptor.of(mediatypes.OCI_CONFIG, digest, len(self._config))
        raw = manifests.build(about, tuple(each.blob for each in layers), annotations)
        self._top = Document.of(raw, mediatypes.OCI_MANIFEST)
        self.blobs = (*self._layers, digest)

    def top(self) -> Document:
        """The manifest that was made."""
        return self._top

    def described(self) -> Descriptor:
        """The manifest as an index names it, with its platform."""
        return self._top.descriptor()._replace(platform=self._platform, annotations=self._said)

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the image has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A compressed layer, or the config."""
        opener = self._layers.get(blob.digest)
        return BytesIO(self._config) if opener is None else opener()


class PackedIndex(Unjudged):
    """Images under an index of them, and behind them what is said of each."""

    def __init__(
        self,
        images: Sequence[PackedSource],
        annotations: Mapping[str, str] = manifests.NO_ANNOTATIONS,
        attestations: Sequence[Attestation] = (),
    ) -> None:
        self._by_blob = {blob: image for image in images for blob in image.blobs}
        self._said = {blob: data for each in attestations for blob, data in each.blobs.items()}
        self._documents = {each.top().digest: each.top().raw for each in images}
        self._documents |= {each.descriptor.digest: each.raw for each in attestations}
        described = [each.described() for each in images]
        described += [each.descriptor for each in attestations]
        raw = manifests.build_index(tuple(described), annotations)
        self._top = Document.of(raw, mediatypes.OCI_INDEX)

    def top(self) -> Document:
        """The index that was made."""
        return self._top

    def document(self, wanted: Descriptor) -> bytes:
        """One image's manifest, or that of what is said of it."""
        found = self._documents.get(BlobDigest(wanted.digest))
        if found is None:
            raise BadDocument(f"the image has no document {wanted.digest.short}")
        return found

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A layer or a config of one of them."""
        said = self._said.get(BlobDigest(blob.digest))
        return BytesIO(said) if said is not None else self._by_blob[blob.digest].open(blob)


class Reading:
    """A file from its start, whoever else reads it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        data = os.pread(self._file, size, self._at)
        self._at += len(data)
        return data

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_error: object) -> None:
        return None


def unpacked(layer: TravellingLayer, write: Write) -> None:
    """Write a layer's tar, verified on its way; raises at its end when it is another's."""
    counted = hashlib.sha256()
    try:
        with layer.open() as stream, open_decompressed(stream, counted.update) as plain:
            while data := plain.read(_CHUNK):
                write(data)
    except OSError as error:
        raise from_oserror(error, "compressing the layer", layer.diff_id.short) from error
    found = f"sha256:{counted.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")
