"""COPY as a stream of tar entries: what is selected, laid onto the stage's tree.

Nothing is mounted or written here: the destination is resolved in the tree below (links inside
the root, also dangling ones), and what comes out enters the store like a pulled layer. The
stream is in the canonical order and holds the parents of whatever it brings. Where a file meets
a directory of the same name the copied one replaces it (docs/format/build-cache.md, COPY).
"""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

from lamina.archive.entry import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Content,
    Entry,
    EntryStream,
    Held,
    Watched,
    in_order,
)
from lamina.archive.whiteout import PREFIX, is_reserved
from lamina.build.filereading import require_bytes, require_unchanged, whole
from lamina.build.selection import Kept, Node, Selected
from lamina.build.sources import SourceTree, unreadable
from lamina.dockerfile.chmod import Chmod, applied
from lamina.errors import BuildError, UsageError
from lamina.fs.inroot import shown
from lamina.fs.status import Status
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
_DEVICES = (CHAR, BLOCK)


class Manner(NamedTuple):
    """How copied files are to look.

    `owner` and `mode` are what --chown and --chmod say; `stamp_ns` is the time of directories
    that are made on the way, and no time is later than `clamp_ns` (both since the epoch).
    """

    owner: tuple[int, int] | None
    mode: Chmod | None
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
    view: TreeView,
    text: str,
    selected: list[Selected],
    *,
    unpacks: bool = False,
    link: bool = False,
) -> Destination:
    """Resolve the absolute destination `text` of a copy in the stage's tree.

    With `unpacks` an archive goes there, which always needs a directory; with `link` no link of
    the stage is followed, and what stands in the way is replaced. Where the first of several
    sources is a directory the others go into what it becomes. Raises `UsageError` for several
    sources into what is no directory, a directory onto a file, or a file in the way.
    """
    if link:
        return _linked(view, text, selected, unpacks)
    path = _resolve(view, text, f"the destination {text!r}")
    status = view.lstat(path)
    exists = status is not None and stat.S_ISDIR(status.st_mode)
    named_as_folder = unpacks or text.endswith(("/", "/.", "/..")) or _makes_parents(selected)
    if len(selected) > 1 and not (named_as_folder or exists or selected[0].is_directory):
        raise _not_one_file(selected, text)
    if status is not None and not exists and (named_as_folder or selected[0].is_directory):
        raise UsageError(f"the destination {text!r} is a file in the image, not a directory")
    return Destination(path, named_as_folder or exists or selected[0].is_directory)


def _linked(view: TreeView, text: str, selected: list[Selected], unpacks: bool) -> Destination:
    """--link: where a copy goes that knows nothing of what is below it."""
    path = os.fsencode(posixpath.normpath(text).lstrip("/"))
    as_folder = unpacks or text.endswith("/") or not path or _makes_parents(selected)
    if len(selected) > 1 and not (as_folder or selected[0].is_directory):
        raise _not_one_file(selected, text)
    if not as_folder and not selected[0].is_directory and _is_directory(view, path):
        raise UsageError(
            f"the destination {text!r} is a directory, which a linked file would replace",
            hint="end the destination with / to copy into the directory",
        )
    return Destination(path, as_folder or selected[0].is_directory)


def _makes_parents(selected: list[Selected]) -> bool:
    """--parents: what leads to the sources is made below the destination, so it is a directory."""
    return any(each.top.implied for each in selected)


def _not_one_file(selected: list[Selected], text: str) -> UsageError:
    return UsageError(
        f"{len(selected)} sources cannot become the one file {text!r}",
        hint="end the destination with / to copy into a directory",
    )


def _resolve(view: TreeView, text: str, what: str) -> bytes:
    """The path that `text` leads to in the image; `what` is how messages call it."""
    try:
        path = resolve(view, os.fsencode(text), follow_last=True)
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from error
    parts = path.split(b"/")
    for end in range(1, len(parts)):
        above = b"/".join(parts[:end])
        status = view.lstat(above)
        if status is None:
            break
        if not stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{what}: /{os.fsdecode(above)} is no directory in the image")
    return path


class Laid(NamedTuple):
    """One node with the source it came from (hard links are kept within one source)."""

    node: Node
    source: int


def entries(
    tree: SourceTree, view: TreeView, selected: list[Selected], to: Destination, manner: Manner
) -> EntryStream:
    """The copy's entries in the canonical order, parents included; none when nothing changes.

    One directory passes straight through, whatever its size; several sources are laid over each
    other first. Raises `BuildError` or a `StorageError` when the sources cannot be read.
    """
    writer = _Writer(tree, view, to, manner)
    try:
        if len(selected) == 1 and selected[0].is_directory and not selected[0].top.implied:
            yield from writer.directory(selected[0])
        else:
            yield from writer.several(selected)
    except OSError as error:
        raise unreadable(error, tree) from error


def refuse_whiteout(name: bytes) -> None:
    """Raise `BuildError` for a file name that would delete something as part of a layer."""
    if PREFIX in name and is_reserved(name):
        raise BuildError(
            f"the file {shown(name)} cannot be part of a layer: names that begin with .wh. mean"
            " deletions there"
        )


_Link: TypeAlias = tuple[int, int, int, bytes]
"""What makes two names hard links of each other: one source, one file, and one content.

A file that changes between its names is two of them, as the key counts it.
"""


class _Writer:
    """Turns nodes into entries; remembers the first name of each hard link."""

    def __init__(self, tree: SourceTree, view: TreeView, to: Destination, manner: Manner) -> None:
        self._tree = tree
        self._view = view
        self._to = to
        self._manner = manner
        self._first: dict[_Link, bytes] = {}

    def directory(self, source: Selected) -> EntryStream:
        """The contents of one directory, as they are walked."""
        parents = _parents(self._view, {self._to.path}, self._manner)
        changes = any(made for made, _ in parents.values())
        waiting = [parents[name][1] for name in sorted(parents, key=in_order)]
        if changes:
            yield from ((entry, None) for entry in waiting)
            waiting = []
        inside = self._to.path + b"/" if self._to.path else b""
        for node in source.nodes():
            if not node.name:
                continue
            if waiting:
                yield from ((entry, None) for entry in waiting)
                waiting = []
            yield self._entry(inside + node.name, node, 0)

    def several(self, selected: list[Selected]) -> EntryStream:
        """Sources laid over each other, the later ones on top."""
        laid = _lay(self._view, selected, self._to)
        folders = {name.rpartition(b"/")[0] for name in laid}
        if any(source.is_directory for source in selected):
            folders.add(self._to.path)
        parents = _parents(self._view, folders - laid.keys(), self._manner)
        if not laid and not any(made for made, _ in parents.values()):
            return
        for name in sorted({*laid, *parents}, key=in_order):
            if name not in laid:
                yield parents[name][1], None
            else:
                yield self._entry(name, *laid[name])

    def _entry(self, name: bytes, node: Node, source: int) -> tuple[Entry, Content | None]:
        if PREFIX in name:
            refuse_whiteout(name)
        tree, manner, status = self._tree, self._manner, node.status
        kind = _KINDS[stat.S_IFMT(status.mode)]
        uid, gid = manner.owner or ((status.uid, status.gid) if tree.keeps_owners else (0, 0))
        mode = stat.S_IMODE(status.mode)
        if kind != SYMLINK and manner.mode is not None:
            mode = applied(manner.mode, mode, is_directory=kind == DIR)
        if status.links > 1 and kind != DIR:
            linked = self._linked(name, node, status, source)
            if linked != name:
                mtime = manner.time(status.mtime_ns)
                return Entry(name, HARDLINK, mode, uid, gid, mtime_ns=mtime, link=linked), None
        holds = _holds(tree, node, status)
        size = status.size if status.is_file else 0
        is_device = kind in _DEVICES
        entry = Entry(
            name,
            kind,
            mode,
            uid,
            gid,
            size,
            manner.time(manner.stamp_ns if _is_inline(node) else status.mtime_ns),
            holds.data or b"" if kind == SYMLINK else b"",
            os.major(status.rdev) if is_device else 0,
            os.minor(status.rdev) if is_device else 0,
            holds.xattrs or (),
        )
        return entry, _content(tree, node, holds) if size else None

    def _linked(self, name: bytes, node: Node, status: Status, source: int) -> bytes:
        """The first name of a file with several."""
        digest = node.kept.digest if node.kept is not None else b""
        return self._first.setdefault((source, status.device, status.inode, digest), name)


def _lay(view: TreeView, selected: list[Selected], to: Destination) -> dict[bytes, Laid]:
    laid: dict[bytes, Laid] = {}
    for number, source in enumerate(selected):
        for node in source.nodes():
            name = _name(node, to)
            if not name or (node.is_directory and not node.name):
                continue
            if node.implied and node.is_directory and _is_directory(view, name):
                continue
            below = laid.get(name)
            if below is not None and below.node.is_directory and not node.is_directory:
                _drop_below(laid, name)
            laid[name] = Laid(node, number)
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
        mode = applied(manner.mode, _MADE_MODE, is_directory=True)
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


def _holds(tree: SourceTree, node: Node, status: Status) -> Kept:
    if node.path is not None:
        return whole(tree, node, status)
    if node.fetched is not None:
        return Kept(node.fetched.digest)
    return Kept(hashlib.sha256(node.data).digest(), data=node.data)


def _content(tree: SourceTree, node: Node, holds: Kept) -> Content:
    if holds.data is None:
        opener = partial(open_node, tree, node)
        if node.kept is None:
            return opener
        plain = b"" if holds.xattrs else node.kept.digest
        return Watched(opener, partial(require_bytes, node, holds.xattrs or ()), plain)
    digest = hashlib.sha256(holds.data).digest() if holds.xattrs else holds.digest
    return Held(holds.data, digest)


def _is_inline(node: Node) -> bool:
    return node.path is None and node.fetched is None


def open_node(tree: SourceTree, node: Node) -> int:
    """A descriptor of the content of a file that lies in a tree, or was fetched.

    Raises `BuildError` when it changed since its digest, `StorageError` when it cannot be read.
    """
    if node.fetched is not None:
        return node.fetched.open()
    assert node.path is not None
    try:
        descriptor = tree.open(node.path)
    except OSError as error:
        raise unreadable(error, tree, node.path) from error
    try:
        require_unchanged(descriptor, node.status, node.path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def making(view: TreeView, text: str, manner: Manner) -> Iterator[Entry]:
    """The entries that make the directory `text` (WORKDIR) where it is missing, else none."""
    path = _resolve(view, text, f"the working directory {text!r}")
    status = view.lstat(path)
    if not path or (status is not None and stat.S_ISDIR(status.st_mode)):
        return
    if status is not None:
        raise UsageError(f"the working directory {text!r} is a file in the image")
    parts = path.split(b"/")
    for end in range(1, len(parts) + 1):
        yield parent_entry(view, b"/".join(parts[:end]), manner)[1]
