"""A read-write layer that begins with what another one has changed.

Where a driver keeps that in a directory of its own, the directory is copied (blocks are shared
where the file system can); elsewhere the changes are applied to a fresh layer, as a migration does.
"""

import os
import stat
from contextlib import suppress

from lamina.drivers.api import CopiesOwn, Driver
from lamina.fs.inroot import Root
from lamina.metadata.layers import LayerRow
from lamina.values.ids import LayerID


def fill(driver: Driver, row: LayerRow, layer: LayerID, made: frozenset[bytes]) -> None:
    """Fill `layer`, which is new, with what that of `row` has changed but what was `made` in it.

    Raises OSError or a `StorageError`.
    """
    if isinstance(driver, CopiesOwn) and driver.copy_own(layer, row.id):
        with Root.at(driver.writable_root(layer)) as root:
            for path in sorted(made, key=len, reverse=True):
                _take_out(root, path)
        return
    from lamina.layers import copying

    copying.copy_changes(driver, row, row._replace(id=layer), made)


def _take_out(root: Root, path: bytes) -> None:
    """Remove an empty file or directory, the times of what it lies in as before."""
    try:
        directory, name = root.parent(path)
    except OSError:
        return  # not there any more
    try:
        before = os.fstat(directory)
        with suppress(OSError):  # it is not empty: it is the container's own now
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=directory)
            elif stat.S_ISREG(status.st_mode) and not status.st_size:
                os.unlink(name, dir_fd=directory)
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(directory)
