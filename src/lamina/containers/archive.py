"""Files in and out of a container, as tars: what `cp`, `export` and `commit` stand on.

A running container is reached through its own root in /proc, a stopped one through a detached
mount (or, where nothing is to be mounted, its directory). Everything inside is resolved beneath
that root by descriptor, whatever the container does meanwhile.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

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
from lamina.fs.mounting import open_detached
from lamina.fs.tree import FlatTree


@contextmanager
def opened_root(store: ContainerStore, stored: StoredContainer) -> Iterator[Root]:
    """The container's merged root, for reading and writing."""
    try:
        descriptor = _open(store, stored)
    except OSError as error:
        raise from_oserror(error, "opening the root of", stored.row.name) from error
    with Root(descriptor) as root:
        yield root


def _open(store: ContainerStore, stored: StoredContainer) -> int:
    if stored.status == "running" and stored.row.pid is not None:
        pid = innermost(stored.row.pid)
        return os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return open_detached(store.layers.mounts(stored.row.layer_id, writable=True))


def innermost(pid: int) -> int:
    """A process inside the container, below the one that was spawned for it."""
    while True:
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
                below = file.read().split()
        except OSError:
            return pid
        if not below:
            return pid
        pid = int(below[0])


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
