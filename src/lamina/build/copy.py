"""COPY as a stream of tar entries: what is selected, laid onto the stage's tree.

Nothing is mounted or written here: the destination is resolved in the tree below (links inside
the root, also dangling ones), and what comes out enters the store like a pulled layer. The
stream is in the canonical order and holds the parents of whatever it brings. Where a file meets
a directory of the same name the copied one replaces it (docs/format/build-cache.md, COPY).
"""

import errno
import os
import stat
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from lamina.archive.entry import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    EntryStream,
    Opener,
)
from lamina.build.contentdigest import require_unchanged
from lamina.build.selection import Node, Selected
from lamina.build.sources import SourceTree
from lamina.errors import UsageError, from_oserror
from lamina.fs.tree import TreeView, resolve

_MADE_MODE = 0o755
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: FILE,  # a socket becomes an empty file
}


class Manner(NamedTuple):
    """How copied files are to look.

    `owner` and `mode` are what --chown and --chmod say; `stamp_ns` is the time of directories
    that are made on the way, and no time is later than `clamp_ns` (both since the epoch).
    """

    owner: tuple[int, int] | None
    mode: int | None
    stamp_ns: int
    clamp_ns: int | None

    def time(self, mtime_ns: int) -> int:
        """`mtime_ns`, clamped."""
        return mtime_ns if self.clamp_ns is None else min(mtime_ns, self.clamp_ns)


class Destination(NamedTuple):
    """Where a copy goes: a path in the image without links; `is_folder` when things go inside."""

    path: bytes
    is_folder: bool


def destination(
    view: TreeView, text: str, selected: list[Selected], *, unpacks: bool = False
) -> Destination:
    """Resolve the absolute destination `text` of a copy in the stage's tree.

    With `unpacks` an archive goes there, which always needs a directory. Raises `UsageError` for
    several sources into what is no directory, a directory onto a file, or a file in the way.
    """
    path = _resolve(view, text)
    status = view.lstat(path)
    exists = status is not None and stat.S_ISDIR(status.st_mode)
    named_as_folder = unpacks or text.endswith(("/", "/.", "/.."))
    if len(selected) > 1 and not (named_as_folder or exists):
        raise UsageError(
            f"{len(selected)} sources cannot become the one file {text!r}",
            hint="end the destination with / to copy into a directory",
        )
    if status is not None and not exists and (named_as_folder or selected[0].is_directory):
        raise UsageError(f"the destination {text!r} is a file in the image, not a directory")
    return Destination(path, named_as_folder or exists or selected[0].is_directory)


def _resolve(view: TreeView, text: str) -> bytes:
    try:
        path = resolve(view, os.fsencode(text), follow_last=True)
    except OSError as error:
        raise UsageError(f"the destination {text!r}: {error.strerror}") from error
    parts = path.split(b"/")
    for end in range(1, len(parts)):
        status = view.lstat(b"/".join(parts[:end]))
        if status is None:
            break
        if not stat.S_ISDIR(status.st_mode):
            at = os.fsdecode(b"/".join(parts[:end]))
            words = os.strerror(errno.ENOTDIR)
            raise UsageError(f"the destination {text!r}: /{at}: {words}")
    return path


class Laid(NamedTuple):
    """One node with the source it came from (hard links are kept within one source)."""

    node: Node
    source: int


def entries(
    tree: SourceTree, view: TreeView, selected: list[Selected], to: Destination, manner: Manner
) -> EntryStream:
    """The copy's entries in the canonical order, parents included; none when nothing changes."""
    laid = _lay(view, selected, to)
    folders = [name.rpartition(b"/")[0] for name in laid]
    if any(source.is_directory for source in selected):
        folders.append(to.path)
    parents = _parents(view, {each for each in folders if each not in laid}, manner)
    if not laid and not any(made for made, _ in parents.values()):
        return
    first: dict[tuple[int, int, int], bytes] = {}
    for name in sorted({*laid, *parents}, key=in_order):
        if name in laid:
            try:
                made = _entry(tree, name, laid[name], manner, first)
            except OSError as error:
                raise from_oserror(error, "reading", os.fsdecode(name)) from error
            yield made
        else:
            yield parents[name][1], None


def in_order(path: bytes) -> bytes:
    """The key of the canonical order: by components, each bytewise."""
    return path.replace(b"/", b"\0")


def _lay(view: TreeView, selected: list[Selected], to: Destination) -> dict[bytes, Laid]:
    laid: dict[bytes, Laid] = {}
    for index, source in enumerate(selected):
        for node in source.nodes:
            name = _name(node, to)
            if not name or (node.is_directory and not node.name):
                continue
            if node.implied and node.is_directory and _is_directory(view, name):
                continue
            below = laid.get(name)
            if below is not None and below.node.is_directory and not node.is_directory:
                _drop_below(laid, name)
            laid[name] = Laid(node, index)
    return laid


def _name(node: Node, to: Destination) -> bytes:
    if not to.is_folder:
        return to.path
    return b"/".join(part for part in (to.path, node.name) if part)


def _is_directory(view: TreeView, path: bytes) -> bool:
    status = view.lstat(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _drop_below(laid: dict[bytes, Laid], folder: bytes) -> None:
    for name in [each for each in laid if each.startswith(folder + b"/")]:
        del laid[name]


def _parents(
    view: TreeView, folders: set[bytes], manner: Manner
) -> dict[bytes, tuple[bool, Entry]]:
    """The directories that lead to the copied ones: as they are, or (True) made."""
    found: dict[bytes, tuple[bool, Entry]] = {}
    for folder in folders:
        path = folder
        while path and path not in found:
            found[path] = parent_entry(view, path, manner)
            path = path.rpartition(b"/")[0]
    return found


def parent_entry(view: TreeView, path: bytes, manner: Manner) -> tuple[bool, Entry]:
    """The directory at `path` as it is in `view`, or (True) as a copy makes it."""
    status = view.lstat(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        uid, gid = manner.owner or (0, 0)
        mode = _MADE_MODE if manner.mode is None else manner.mode
        return True, Entry(path, DIR, mode, uid, gid, mtime_ns=manner.time(manner.stamp_ns))
    entry = Entry(
        path,
        DIR,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        mtime_ns=manner.time(status.st_mtime_ns),
        xattrs=view.xattrs(path),
    )
    return False, entry


def _entry(
    tree: SourceTree,
    name: bytes,
    laid: Laid,
    manner: Manner,
    first: dict[tuple[int, int, int], bytes],
) -> tuple[Entry, Opener | None]:
    node, status = laid.node, laid.node.status
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    uid, gid = manner.owner or ((status.st_uid, status.st_gid) if tree.keeps_owners else (0, 0))
    mode = stat.S_IMODE(status.st_mode)
    if manner.mode is not None and kind != SYMLINK:
        mode = manner.mode
    if status.st_nlink > 1 and kind != DIR:
        linked = first.setdefault((laid.source, status.st_dev, status.st_ino), name)
        if linked != name:
            mtime = manner.time(status.st_mtime_ns)
            return Entry(name, HARDLINK, mode, uid, gid, mtime_ns=mtime, link=linked), None
    is_device = kind in (CHAR, BLOCK)
    entry = Entry(
        name,
        kind,
        mode,
        uid,
        gid,
        size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
        mtime_ns=manner.time(manner.stamp_ns if node.path is None else status.st_mtime_ns),
        link=tree.readlink(node.path) if kind == SYMLINK and node.path is not None else b"",
        devmajor=os.major(status.st_rdev) if is_device else 0,
        devminor=os.minor(status.st_rdev) if is_device else 0,
        xattrs=tree.xattrs(node.path) if node.path is not None else (),
    )
    return entry, partial(open_node, tree, node) if entry.size else None


def open_node(tree: SourceTree, node: Node) -> int:
    """A descriptor of a file's content.

    Raises `BuildError` when it changed since its digest, `StorageError` when it cannot be read.
    """
    if node.path is None:
        return _in_memory(node.data)
    try:
        descriptor = tree.open(node.path)
    except OSError as error:
        raise from_oserror(error, "reading", os.fsdecode(node.path)) from error
    try:
        require_unchanged(descriptor, node.status, node.path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("inline", os.MFD_CLOEXEC)
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
    return descriptor


def making(view: TreeView, text: str, manner: Manner) -> Iterator[Entry]:
    """The entries that make the directory `text` (WORKDIR) where it is missing, else none."""
    path = _resolve(view, text)
    status = view.lstat(path)
    if not path or (status is not None and stat.S_ISDIR(status.st_mode)):
        return
    if status is not None:
        raise UsageError(f"{text!r} is a file in the image, not a directory")
    parts = path.split(b"/")
    for end in range(1, len(parts) + 1):
        yield parent_entry(view, b"/".join(parts[:end]), manner)[1]
