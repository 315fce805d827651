"""The members of a tree that others may be writing to meanwhile: each file whole, or left out.

A file is taken as it was at one moment, as far as its size and times tell; what vanishes while it
is read was not there, and what never stands still is told of. Devices and sockets are passed over.
Knows neither why the tree is read nor where its tar goes.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from lamina.archive.diff import entry_of
from lamina.archive.entry import FILE, HARDLINK, Content, Entry, Held, Known, MemberStream
from lamina.archive.results import Change
from lamina.archive.whiteout import is_reserved, marker
from lamina.archive.writer import head
from lamina.errors import BadArchive
from lamina.fs.copy import copy_data
from lamina.fs.tree import READING, FlatTree, Xattrs, carried_xattrs
from lamina.fs.walk import walk
from lamina.kernel import xattr

_SMALL = 1 << 20  # bytes up to which a file is held in memory
_TRIES = 3
_PINNED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPENED = READING & ~os.O_NOFOLLOW

Member: TypeAlias = tuple[Entry, Known]
Links: TypeAlias = dict[tuple[int, ...], bytes]
"""The first names of files that have several."""


class Reading(NamedTuple):
    """How a tree is read.

    `scratch` gives the descriptor of a new file, for a copy of what is large; None where nobody
    else writes to the tree. `left_out` is told the name of what can be in no layer, and of what
    never stood still.
    """

    scratch: Callable[[], int] | None
    left_out: Callable[[bytes], None]


def everything(tree: FlatTree) -> Iterator[Change]:
    """All that lies in a tree, each directory before what is in it, sorted by path.

    Raises OSError.
    """
    return (Change("A", found.path) for found in walk(tree.folder(b""), may_change=True))


def members(changes: Iterable[Change], tree: FlatTree, reading: Reading) -> MemberStream:
    """The root itself, and then what the changes tell of, as a layer's members.

    Names of one file after the first become hard links. Raises OSError for a disk that fails.
    """
    root = tree.folder(b"")
    entry = entry_of(b"", os.fstat(root), b"", carried_xattrs(root))
    yield entry, Known(head(entry), None)
    links: Links = {}
    for change in changes:
        if is_reserved(change.path):
            reading.left_out(change.path)
            continue
        try:
            member = _member(change, tree, links, reading)
        except (BadArchive, PermissionError):  # more attributes than a reader takes; not ours
            reading.left_out(change.path)
            continue
        if member is not None:
            yield member


def _member(change: Change, tree: FlatTree, links: Links, reading: Reading) -> Member | None:
    """A name as it is now; None for what has gone or is passed over."""
    if change.kind == "D":
        return _headed(Entry(marker(change.path), FILE, 0))
    try:
        found = tree.locate(change.path)
        pinned = os.open(found[1], _PINNED, dir_fd=found[0]) if found is not None else -1
    except OSError:
        return None
    if found is None:
        return None
    try:
        status = os.fstat(pinned)
        if stat.S_ISREG(status.st_mode):
            return _file(pinned, change.path, links, reading)
        if stat.S_ISDIR(status.st_mode):
            return _plain(change.path, status, b"", xattr.place(pinned, b"."))
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(b"", dir_fd=pinned)
            return _plain(change.path, status, target, xattr.place(*found))
        if stat.S_ISFIFO(status.st_mode):
            return _plain(change.path, status, b"", xattr.place(*found))
        return None
    finally:
        os.close(pinned)


def _headed(entry: Entry, content: Content | None = None) -> Member:
    return entry, Known(head(entry), content)


def _plain(path: bytes, status: os.stat_result, link: bytes, place: bytes) -> Member:
    """What has no content; its attributes are read at a place."""
    return _headed(entry_of(path, status, link, _attributes(place)))


def _attributes(place: bytes | int) -> Xattrs:
    try:
        return carried_xattrs(place)
    except FileNotFoundError:
        return ()  # it goes just now


def _file(pinned: int, path: bytes, links: Links, reading: Reading) -> Member | None:
    """A file that was found to be one: what takes its place meanwhile is not opened."""
    file = os.open(b"/proc/self/fd/%d" % pinned, _REOPENED)
    try:
        for _ in range(_TRIES):
            status = os.fstat(file)
            entry = entry_of(path, status, b"", carried_xattrs(file))
            first = links.get(_identity(status)) if status.st_nlink > 1 else None
            if first is not None:
                return _headed(entry._replace(kind=HARDLINK, link=first, size=0, xattrs=()))
            block = head(entry)
            content = _content(file, status, reading)
            if content is not None:
                if status.st_nlink > 1:
                    links[_identity(status)] = path
                return entry, Known(block, content)
    finally:
        os.close(file)
    reading.left_out(path)
    return None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from one that was made later, and got its number."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _content(file: int, status: os.stat_result, reading: Reading) -> Content | None:
    """What a file of that status holds; None where it changed meanwhile."""
    if status.st_size <= _SMALL:
        data = os.pread(file, status.st_size + 1, 0)
        is_whole = len(data) == status.st_size and _stood_still(file, status)
        return Held(data, hashlib.sha256(data).digest()) if is_whole else None
    if reading.scratch is None:
        kept = os.dup(file)
        return lambda: kept
    kept = reading.scratch()
    try:
        copy_data(file, kept, 0, status.st_size)
        os.ftruncate(kept, status.st_size)
        if _stood_still(file, status):
            os.lseek(kept, 0, os.SEEK_SET)
            copied, kept = kept, -1
            return lambda: copied
        return None
    finally:
        if kept >= 0:
            os.close(kept)


def _stood_still(file: int, before: os.stat_result) -> bool:
    after = os.fstat(file)
    return (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
