"""An image that came as plain tars, made into content: its layers by gzip, and a manifest.

Equal images become equal bytes on every machine, so that what was sent once is not sent again.
The config, and so the image's ID, stays.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO
from typing import NamedTuple

from lamina.archive.compress import open_decompressed
from lamina.archive.gzipping import Gzip
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument, DigestMismatch, from_oserror
from lamina.fs.atomic import write_all
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Document
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
            layers.append(_Packed(descriptor, _compressed(layer, descriptor)))
        yield PackedSource(image, layers)


class _Packed(NamedTuple):
    file: int
    blob: Descriptor


class PackedSource:
    """An image's content, its layers in open files."""

    def __init__(self, image: TravellingImage, layers: list[_Packed]) -> None:
        self._files = {each.blob.digest: each.file for each in layers}
        self._config = image.config.raw
        about = _described(BlobDigest(image.config.id), len(self._config), mediatypes.OCI_CONFIG)
        raw = manifests.build(about, tuple(each.blob for each in layers))
        self._top = Document.of(raw, mediatypes.OCI_MANIFEST)

    def top(self) -> Document:
        """The manifest that was made."""
        return self._top

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the image has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A compressed layer, or the config."""
        file = self._files.get(blob.digest)
        return BytesIO(self._config) if file is None else _Reading(file)


class _Reading:
    """A file from its start, whoever else reads it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._at = 0

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._file, size, self._at)
        self._at += len(data)
        return data

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *_error: object) -> None:
        return None


def _compressed(layer: TravellingLayer, file: int) -> Descriptor:
    """Write a layer's gzip data to a file; gives what it is."""
    counted, plain_sum = hashlib.sha256(), hashlib.sha256()
    size = 0

    def out(data: bytes) -> None:
        nonlocal size
        counted.update(data)
        size += len(data)
        write_all(file, data)

    try:
        with layer.open() as stream, open_decompressed(stream, plain_sum.update) as plain:
            codec = Gzip(out)
            try:
                while data := plain.read(_CHUNK):
                    codec.write(data)
                codec.finish()
            finally:
                codec.close()
    except OSError as error:
        raise from_oserror(error, "compressing the layer", layer.diff_id.short) from error
    found = f"sha256:{plain_sum.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")
    digest = BlobDigest(f"sha256:{counted.hexdigest()}")
    return _described(digest, size, mediatypes.OCI_LAYER_GZIP)


def _described(digest: BlobDigest, size: int, media_type: str) -> Descriptor:
    return Descriptor(media_type, digest, size, {}, ("", "", ""))
