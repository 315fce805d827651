"""`import`: a root file system's tar becomes an image of one layer.

Processes that import the same unchanged file at once read and extract it once: a file is known
by its device, inode, size and times, and whoever waited takes what the first one made.
"""

import os
import stat
import time
from typing import NamedTuple

from lamina.content.verified import ByteStream
from lamina.errors import BadArchive, UsageError, from_oserror
from lamina.fs.reading import DescriptorStream
from lamina.fs.status import IDENTITY, packed, settled
from lamina.images import edit
from lamina.images.store import ImageStore
from lamina.layers.layer import Layer
from lamina.layers.store import LayerStore
from lamina.spec.imageconfig import ImageConfig, format_time
from lamina.transfer.naming import named
from lamina.values.digest import ImageID
from lamina.values.reference import Reference


def import_root(
    source: str | ByteStream,
    images: ImageStore,
    layers: LayerStore,
    *,
    names: tuple[Reference, ...],
    platform: tuple[str, ...],
    created: float,
    message: str = "",
    changes: tuple[str, ...] = (),
) -> ImageID:
    """Make an image of the tar at a path or in a stream, compressed or not.

    `created` is in seconds since the epoch, `changes` are Dockerfile instructions. Raises
    `BadArchive`, `UsageError`, `DockerfileError` or `StorageError`; nothing is left then. Ends
    with a barrier.
    """
    base = edit.empty(platform, format_time(created))
    if changes:
        from lamina.images.changes import apply_changes  # the language: few ask for it

        base = apply_changes(base, changes)
    comment = message or "Imported from -"  # docker's words; where a file lay is nobody's business
    with named(source), images.all_or_nothing():
        layer = _file(source, layers) if isinstance(source, str) else layers.register(None, source)
        document = edit.with_layer(base, layer.diff_id, format_time(created), "", comment)
        image = images.create(ImageConfig.of(document), names, told="import")
    layers.barrier()
    return image


def _file(path: str, layers: LayerStore) -> Layer:
    if path.startswith(("http://", "https://")):
        hint = f"hand it on: curl -fL {path} | lamina import -"
        raise UsageError(f"{path} is not fetched from here", hint=hint)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            hint = f"make a tar of it: tar -C {path} -c . | lamina import -"
            raise BadArchive("this is a directory", hint=hint)
        return layers.register(None, DescriptorStream(descriptor), claim=_claim(descriptor))
    finally:
        os.close(descriptor)


def _claim(descriptor: int) -> "_Unchanged | None":
    """What to know a file's bytes by; None for a pipe, and for what may change unseen."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not settled(status.st_ctime_ns, time.time_ns()):
        return None
    return _Unchanged(descriptor, packed(status)[:IDENTITY])


class _Unchanged(NamedTuple):
    """That a file gives the bytes it had when it had this device, inode, size and times."""

    descriptor: int
    identity: bytes

    @property
    def name(self) -> str:
        return self.identity.hex()

    def holds(self) -> bool:
        return packed(os.fstat(self.descriptor))[:IDENTITY] == self.identity
