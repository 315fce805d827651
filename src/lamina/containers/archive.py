"""Files in and out of a container, as tars: what `cp`, `export` and `commit` stand on.

A running container is reached through its own root in /proc, a stopped one through a detached
mount (or, where nothing is to be mounted, its directory). Everything inside is resolved beneath
that root by descriptor, whatever the container does meanwhile.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lamina.archive.apply import apply
from lamina.archive.compress import open_decompressed
from lamina.archive.diff import entries_below
from lamina.archive.entry import Write
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.content.verified import ByteStream
from lamina.errors import PathNotFound, from_oserror
from lamina.fs.inroot import Root
from lamina.fs.mounting import detached
from lamina.fs.tree import FlatTree

_PATIENCE = 5.0  # seconds for a container to be there, or gone
_POLL = 0.01


@contextmanager
def opened_root(store: ContainerStore, stored: StoredContainer) -> Iterator[Root]:
    """The container's merged root, for reading and writing; raises `InUse` or `StorageError`."""
    with _opened(store, stored) as descriptor, Root(os.dup(descriptor)) as root:
        yield root


@contextmanager
def _opened(store: ContainerStore, stored: StoredContainer) -> Iterator[int]:
    """By the container's own processes while it runs; else mounted, while nobody starts it."""
    inside = _open_running(store, stored)
    if inside is not None:
        try:
            yield inside
        finally:
            os.close(inside)
        return
    with store.alone(stored.row.id, _PATIENCE) as now:
        plan = store.layers.mounts(now.row.layer_id, writable=True)
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(detached(plan))
            except OSError as error:
                raise from_oserror(error, "opening the root of", now.row.name) from error
            yield descriptor


def _open_running(store: ContainerStore, stored: StoredContainer) -> int | None:
    """None when it has ended; it is waited for while it starts."""
    limit = time.monotonic() + _PATIENCE
    while stored.is_up and time.monotonic() < limit:
        inside = store.open_running(stored)
        if inside is not None:
            return inside
        time.sleep(_POLL)
        stored = store.get(stored.row.id)
    return None


def get(root: Root, path: str, out: Write) -> None:
    """Write the tar of a file or a directory with all below it; raises `PathNotFound`.

    Members are named from the last component of `path` on, as docker's archive endpoint does;
    a path that ends in `/.` names what is in the directory.
    """
    stat_of(root, path)
    tree = FlatTree(os.dup(root.fd))
    try:
        place = tree.resolve(os.fsencode(path).strip(b"/"), follow_last=path.endswith("/"))
        base = b"" if path.endswith("/.") else place.rpartition(b"/")[2]
        write(entries_below(tree, place, base), out)
    finally:
        tree.close()


def stat_of(root: Root, path: str) -> os.stat_result:
    """The status of a path in the container, its last part not followed; `PathNotFound`."""
    status = root.lstat(os.fsencode(path).rstrip(b"/") or b"/")
    if status is None:
        raise PathNotFound(f"no such path in the container: {path}")
    return status


def put(root: Root, path: str, stream: ByteStream) -> None:
    """Unroll a tar into the existing directory `path`; raises `PathNotFound` or `BadArchive`."""
    try:
        folder = root.open(os.fsencode(path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PathNotFound(f"no such directory in the container: {path}") from error
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            raise PathNotFound(f"{path} in the container is no directory")
        with open_decompressed(stream) as plain:
            apply(folder, read(plain), whiteouts=False)
    finally:
        os.close(folder)
