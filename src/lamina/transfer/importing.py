"""`import`: a root file system's tar becomes an image of one layer."""

import os

from lamina.content.verified import ByteStream
from lamina.errors import from_oserror
from lamina.images import edit
from lamina.images.changes import apply_changes
from lamina.images.store import ImageStore
from lamina.layers.layer import Layer
from lamina.layers.store import LayerStore
from lamina.spec.imageconfig import ImageConfig, format_time
from lamina.values.digest import ImageID
from lamina.values.reference import Reference


def import_root(
    source: str | ByteStream,
    images: ImageStore,
    layers: LayerStore,
    *,
    names: tuple[Reference, ...],
    platform: tuple[str, str],
    created: float,
    message: str = "",
    changes: tuple[str, ...] = (),
) -> ImageID:
    """Make an image of the tar at a path or in a stream, compressed or not.

    `created` is in seconds since the epoch, `changes` are Dockerfile instructions. Raises
    `BadArchive`, `DockerfileError` or `StorageError`; nothing is left then. Ends with a barrier.
    """
    base = edit.empty(platform, format_time(created))
    changed = apply_changes(base, changes)
    comment = message or "Imported from -"  # docker's words; where a file lay is nobody's business
    with images.all_or_nothing():
        layer = _file(source, layers) if isinstance(source, str) else layers.register(None, source)
        document = edit.with_layer(changed, layer.diff_id, format_time(created), "", comment)
        image = images.create(ImageConfig.of(document), names)
    layers.barrier()
    return image


def _file(path: str, layers: LayerStore) -> Layer:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error
    try:
        return layers.register(None, _Stream(descriptor))
    finally:
        os.close(descriptor)


class _Stream:
    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def read(self, size: int, /) -> bytes:
        return os.read(self._fd, size)
