"""Files in and out of a container, as tars: what `cp`, `export` and `commit` stand on.

A running container is reached through its own root in /proc, a stopped one through a detached
mount (or, where nothing is to be mounted, its directory). Everything inside is resolved beneath
that root by descriptor, whatever the container does meanwhile.
"""

import os
import posixpath
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from lamina.archive.apply import apply
from lamina.archive.compress import open_decompressed
from lamina.archive.diff import entries_below
from lamina.archive.entry import Write
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.content.verified import ByteStream
from lamina.errors import PathNotFound, ReadOnlyStore, from_oserror
from lamina.fs.inroot import Root
from lamina.fs.mounting import detached
from lamina.fs.tree import FlatTree

_PATIENCE = 5.0  # seconds for a container to be there, or gone
_POLL = 0.01


class Place(NamedTuple):
    """A path in a container: what it is called there, and where that is found in `root`."""

    root: Root
    path: str
    called: str


@contextmanager
def opened(
    store: ContainerStore, stored: StoredContainer, path: str, *, writing: bool = False
) -> Iterator[Place]:
    """A path in the container's merged root, or in a directory that it is shown there.

    Raises `InUse` or `StorageError`.
    """
    shown = None if stored.is_up else _shown_at(store, stored, path)
    if shown is None:
        with _opened(store, stored) as descriptor, Root(os.dup(descriptor)) as root:
            yield Place(root, path, path)
        return
    source, inner, readonly = shown
    if writing and readonly:
        raise ReadOnlyStore(f"{path} in {stored.row.name} lies in what is read-only there")
    with store.alone(stored.row.id, _PATIENCE) as now:
        store.placed(now)  # what the image has there is there before the first start
        with Root.at(source) as root:
            yield Place(root, inner, path)


def _shown_at(
    store: ContainerStore, stored: StoredContainer, path: str
) -> tuple[str, str, bool] | None:
    """Of a container that does not run: the directory mounted there, the path in it, if it is
    read-only; None where the container's own layer is.

    A path is taken as it is typed: a link of the image that leads there is not followed.
    """
    wanted = posixpath.normpath("/" + path.lstrip("/"))
    end = path[len(path.rstrip("/.")) :] if path.endswith(("/", "/.")) else ""
    volumes = sorted(stored.settings.volumes, key=lambda each: len(each.target), reverse=True)
    for each in volumes:
        if wanted == each.target or wanted.startswith(each.target + "/"):
            source = store.volumes.made(each.name) if each.is_kept else each.source
            inner = wanted[len(each.target) :] or "/"
            return (source, inner + end, each.readonly) if os.path.isdir(source) else None
    return None


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


def get(place: Place, out: Write) -> None:
    """Write the tar of a file or a directory with all below it; raises `PathNotFound`.

    Members are named from the path's last component on, as docker's archive endpoint does;
    a path that ends in `/.` names what is in the directory.
    """
    stat_of(place)
    path = place.path
    tree = FlatTree(os.dup(place.root.fd))
    try:
        where = tree.resolve(os.fsencode(path).strip(b"/"), follow_last=path.endswith("/"))
        base = where.rpartition(b"/")[2] or os.fsencode(
            posixpath.basename(place.called.rstrip("/"))
        )
        write(entries_below(tree, where, b"" if path.endswith("/.") else base), out)
    finally:
        tree.close()


def stat_of(place: Place) -> os.stat_result:
    """The status of a path in the container, its last part not followed; `PathNotFound`."""
    status = place.root.lstat(os.fsencode(place.path).rstrip(b"/") or b"/")
    if status is None:
        raise PathNotFound(f"no such path in the container: {place.called}")
    return status


class PathFacts(NamedTuple):
    """A path in a container: its last name, its status, and, of a link, where in it that leads."""

    name: str
    status: os.stat_result
    link: str


def facts_of(place: Place) -> PathFacts:
    """What a path is, its last part not followed unless it ends in a slash; `PathNotFound`."""
    status = stat_of(place)
    if place.path.endswith(("/", "/.")):
        status = _status_of_directory(place)
    name = posixpath.basename(place.called.rstrip("/").removesuffix("/.")) or "/"
    link = ""
    if stat.S_ISLNK(status.st_mode):
        said = os.fsdecode(place.root.readlink(os.fsencode(place.path)))
        link = posixpath.normpath(posixpath.join(posixpath.dirname(place.called), said))
    return PathFacts(name, status, link)


def _status_of_directory(place: Place) -> os.stat_result:
    try:
        opened = place.root.open(os.fsencode(place.path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PathNotFound(f"no such directory in the container: {place.called}") from error
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def put(place: Place, stream: ByteStream) -> None:
    """Unroll a tar into that existing directory; raises `PathNotFound` or `BadArchive`."""
    try:
        folder = place.root.open(os.fsencode(place.path), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PathNotFound(f"no such directory in the container: {place.called}") from error
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            raise PathNotFound(f"{place.called} in the container is no directory")
        with open_decompressed(stream) as plain:
            apply(folder, read(plain), whiteouts=False)
    finally:
        os.close(folder)
