"""Equal files of different layers on the same blocks, where the file system can do that.

The indexes tell which files are equal; the kernel compares them again and lets them share in one
step (FIDEDUPERANGE, ioctl_fideduperange(2)). Names, facts and bytes of a layer stay, and nothing
that a kill could leave halfway is made; a file that is removed meanwhile is passed over. Hard
links are not made: two layers' files would be one file, with one owner and one mode.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from lamina.archive.entry import FILE
from lamina.errors import DriverError
from lamina.kernel.ioctl import dedupe_range, first_block
from lamina.layers.layer import Layer
from lamina.layers.store import LayerStore

_LEAST = 4096  # bytes: a block, below which there is nothing to share
_AT_ONCE = 16 << 20  # bytes: the most that Btrfs takes
_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EROFS, errno.EXDEV, errno.EPERM)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


class Deduped(NamedTuple):
    """`files` share their `size` bytes with another file now; `already` ones did before."""

    files: int
    size: int
    already: int


class _Place(NamedTuple):
    """A file of a layer."""

    layer: Layer
    path: bytes
    size: int


def dedupe(store: LayerStore) -> Deduped:
    """Go through all layers, oldest first; raises `DriverError` where nothing can be shared."""
    first: dict[tuple[bytes, int], _Place] = {}
    files = size = already = 0
    for layer in store.all():
        for digest, place in _files(store, layer):
            known = first.setdefault((digest, place.size), place)
            if known is place:
                continue
            done = _shared(store, known, place)
            if done is None:
                already += 1
            elif done:
                files, size = files + 1, size + done
    return Deduped(files, size, already)


def _files(store: LayerStore, layer: Layer) -> Iterator[tuple[bytes, _Place]]:
    """The files of a layer that are worth it, with the digest of what their tar stores."""
    with store.index(layer) as index:
        for record in index.records():
            if record.kind == FILE and record.size >= _LEAST and record.sparse is None:
                path = record.place if record.place is not None else record.name
                yield record.digest, _Place(layer, path, record.size)


def _shared(store: LayerStore, one: _Place, other: _Place) -> int | None:
    """Let two files share; gives the bytes, 0 for files that are gone or differ, None if they do.

    A later member of a layer may have destroyed a file that its index tells of.
    """
    try:
        source = _opened(store, one)
    except OSError as error:
        return _passed(error)
    try:
        target = _opened(store, other)
    except OSError as error:
        os.close(source)
        return _passed(error)
    try:
        where = first_block(source)
        if where and where == first_block(target):
            return None
        return _share(source, target, other.size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise DriverError(f"files of layers cannot share blocks: {error.strerror}") from error
        name = store.driver.name
        raise DriverError(
            f"{name} cannot share blocks here: {error.strerror}",
            hint="it takes overlay2, fuse-overlayfs or vfs on XFS with reflink or on Btrfs",
        ) from error
    finally:
        os.close(source)
        os.close(target)


def _passed(error: OSError) -> int:
    if error.errno in _GONE:
        return 0
    raise DriverError(f"a layer's file cannot be read: {error.strerror}") from error


def _opened(store: LayerStore, place: _Place) -> int:
    with closing(store.driver.own_tree(place.layer.id)) as tree:
        return tree.open(place.path)


def _share(source: int, target: int, size: int) -> int:
    at = 0
    while at < size:
        done = dedupe_range(source, target, at, min(_AT_ONCE, size - at))
        if not done:
            break
        at += done
    return at
