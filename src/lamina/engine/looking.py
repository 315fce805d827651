"""Looking into an image without a container: names, facts and contents, read by its driver.

Every link is followed inside the image's root; nothing is mounted, and nothing unpacked again.
"""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from lamina.analyze.listing import FileFacts
from lamina.archive.entry import Write
from lamina.errors import PathNotFound, from_oserror
from lamina.fs.inroot import shown
from lamina.fs.tree import StackedTree, TreeView
from lamina.layers.store import LayerStore
from lamina.values.digest import ChainID

_CHUNK = 1 << 20


def listing(store: LayerStore, chain: ChainID | None, path: str) -> tuple[FileFacts, ...]:
    """What is in a directory, sorted by name; of anything else, the facts of that alone.

    Raises `PathNotFound`.
    """
    with _looking(store, chain, path) as view:
        found = _resolved(view, path)
        status = view.lstat(found)
        if not found or (status is not None and stat.S_ISDIR(status.st_mode)):
            prefix = found + b"/" if found else b""
            return tuple(_facts(view, prefix + name) for name in view.listdir(found))
        return (_facts(view, _resolved(view, path, follow_last=False)),)


def content(store: LayerStore, chain: ChainID | None, path: str, write: Write) -> None:
    """Write what a regular file holds; raises `PathNotFound` or a `StorageError`."""
    with closing(_pieces(store, chain, path)) as pieces:
        for data in pieces:
            write(data)  # what is wrong with that is not said to be wrong with the file


def _pieces(store: LayerStore, chain: ChainID | None, path: str) -> Generator[bytes, None, None]:
    with _looking(store, chain, path) as view:
        descriptor = view.open(_resolved(view, path))
        try:
            while data := os.read(descriptor, _CHUNK):
                yield data
        finally:
            os.close(descriptor)


@contextmanager
def _looking(store: LayerStore, chain: ChainID | None, path: str) -> Iterator[TreeView]:
    view: TreeView = store.view(chain) if chain is not None else StackedTree(())
    try:
        yield view
    except OSError as error:
        raise from_oserror(error, "reading", shown(os.fsencode(path))) from error
    finally:
        view.close()


def _resolved(view: TreeView, path: str, *, follow_last: bool = True) -> bytes:
    found = view.resolve(os.fsencode(path), follow_last=follow_last)
    if found and view.lstat(found) is None:
        raise PathNotFound(f"no such path in the image: {shown(os.fsencode(path))}")
    return found


def _facts(view: TreeView, path: bytes) -> FileFacts:
    status = view.lstat(path)
    if status is None:
        raise PathNotFound(f"no such path in the image: {shown(path)}")
    kind = stat.S_IFMT(status.st_mode)
    numbers = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return FileFacts(
        path,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        0 if kind == stat.S_IFDIR else status.st_size,
        status.st_mtime_ns,
        1 if kind == stat.S_IFDIR else status.st_nlink,
        view.readlink(path) if kind == stat.S_IFLNK else b"",
        numbers if kind in (stat.S_IFCHR, stat.S_IFBLK) else None,
    )
