"""What one tree changed over another, in the one canonical form (docs/format/layer-semantics.md).

Two engines, one result: `upper_changes` reads only overlayfs's upper directory and looks below
where it must, `tree_changes` walks two whole trees. The parents of each change are listed; a
replaced directory is listed as what vanished from it, never as opaque; a copied-up file that is
as it was is no change, nor is a directory's mtime alone.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator

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
from lamina.archive.results import Change, Kind
from lamina.archive.whiteout import marker
from lamina.errors import StorageError
from lamina.fs.inroot import shown
from lamina.fs.marks import KERNEL, OPAQUE_FILE, Marks, is_whiteout
from lamina.fs.tree import FlatTree, TreeView, Xattrs
from lamina.kernel import xattr

_CHUNK = 1 << 18
_NANO = 1_000_000_000
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}


def upper_changes(upper: int, lower: TreeView, marks: Marks = KERNEL) -> Iterator[Change]:
    """What an overlay's upper directory changed over the tree below; sorted by path.

    `marks` is how its maker marks what is gone. The work grows with the upper directory, not
    with the tree. The descriptor stays the caller's.
    """
    tree = FlatTree(os.dup(upper))
    try:
        yield from _with_parents(_upper(tree, lower, marks))
    finally:
        tree.close()


def _upper(upper: FlatTree, lower: TreeView, marks: Marks) -> Iterator[Change]:
    waiting = [(b"", True, iter(_names(upper, lower, marks, b"", True)))]
    while waiting:
        folder, merges, names = waiting[-1]
        name = next(names, None)
        if name is None:
            waiting.pop()
            continue
        path = folder + b"/" + name if folder else name
        now = upper.lstat(path)
        before = lower.lstat(path) if merges else None
        was = before if merges else lower.lstat(path)
        if now is None or is_whiteout(now) or stat.S_ISSOCK(now.st_mode):
            if was is not None:
                yield Change("D", path)
            continue
        kind = _kind(upper, path, now, lower, was, None)
        if kind is not None:
            yield Change(kind, path)
        if stat.S_ISDIR(now.st_mode):
            joins = merges and before is not None and stat.S_ISDIR(before.st_mode)
            joins = joins and not _is_opaque(upper, path, marks)
            waiting.append((path, joins, iter(_names(upper, lower, marks, path, joins))))


def _names(
    upper: FlatTree, lower: TreeView, marks: Marks, folder: bytes, merges: bool
) -> list[bytes]:
    """The names to look at: those in the upper directory and, where it hides the one below,
    those that vanished with it."""
    names = marks.meant(upper.listdir(folder))
    if not merges:
        below = lower.lstat(folder)
        if below is not None and stat.S_ISDIR(below.st_mode):
            names.update(lower.listdir(folder))
    return sorted(names)


def _is_opaque(upper: FlatTree, path: bytes, marks: Marks) -> bool:
    place = upper.locate(path)
    assert place is not None
    if marks.is_opaque(xattr.place(*place)):
        return True
    return marks.files and upper.lstat(path + b"/" + OPAQUE_FILE) is not None


Names = Callable[[TreeView, TreeView, bytes], list[bytes]]
"""Which names in a directory of the new tree may differ from the old one's, sorted."""


def names_of_both(new: TreeView, old: TreeView, folder: bytes) -> list[bytes]:
    """All of them: what is in the one directory or in the other."""
    names = set(new.listdir(folder))
    below = old.lstat(folder)
    if below is not None and stat.S_ISDIR(below.st_mode):
        names.update(old.listdir(folder))
    return sorted(names)


def tree_changes(
    new: TreeView,
    old: TreeView,
    *,
    suspicious: Callable[[os.stat_result], bool],
    names: Names = names_of_both,
) -> Iterator[Change]:
    """What `new` changed over `old`, by walking both; sorted by path.

    `suspicious` tells of a file with equal metadata whether its content may differ all the
    same, so that it must be compared; `names` leaves out of a directory what cannot differ, by
    what a driver knows, with all below it.
    """
    yield from _with_parents(_walk_both(new, old, suspicious, names))


def _walk_both(
    new: TreeView, old: TreeView, suspicious: Callable[[os.stat_result], bool], names_in: Names
) -> Iterator[Change]:
    waiting = [(b"", iter(names_in(new, old, b"")))]
    while waiting:
        folder, names = waiting[-1]
        name = next(names, None)
        if name is None:
            waiting.pop()
            continue
        path = folder + b"/" + name if folder else name
        now, was = new.lstat(path), old.lstat(path)
        if now is None or stat.S_ISSOCK(now.st_mode):
            if was is not None:
                yield Change("D", path)
            continue
        kind = _kind(new, path, now, old, was, suspicious)
        if kind is not None:
            yield Change(kind, path)
        if stat.S_ISDIR(now.st_mode):
            waiting.append((path, iter(names_in(new, old, path))))


def _kind(
    new: TreeView,
    path: bytes,
    now: os.stat_result,
    old: TreeView,
    was: os.stat_result | None,
    suspicious: Callable[[os.stat_result], bool] | None,
) -> Kind | None:
    if stat.S_ISSOCK(now.st_mode):
        return None
    if was is None:
        return "A"
    if _differs(now, was) or new.xattrs(path) != old.xattrs(path):
        return "C"
    if stat.S_ISLNK(now.st_mode):
        return "C" if new.readlink(path) != old.readlink(path) else None
    if not stat.S_ISREG(now.st_mode) or not now.st_size:
        return None
    if suspicious is not None and not suspicious(now):
        return None
    return None if _same_content(new, old, path) else "C"


def _differs(now: os.stat_result, was: os.stat_result) -> bool:
    if (now.st_mode, now.st_uid, now.st_gid) != (was.st_mode, was.st_uid, was.st_gid):
        return True
    if stat.S_ISDIR(now.st_mode):
        return False
    if stat.S_ISCHR(now.st_mode) or stat.S_ISBLK(now.st_mode):
        return now.st_rdev != was.st_rdev
    return now.st_size != was.st_size or now.st_mtime_ns != was.st_mtime_ns


def _same_content(new: TreeView, old: TreeView, path: bytes) -> bool:
    first = new.open(path)
    try:
        second = old.open(path)
        try:
            while True:
                data = os.read(first, _CHUNK)
                if data != os.read(second, _CHUNK):
                    return False
                if not data:
                    return True
        finally:
            os.close(second)
    finally:
        os.close(first)


def _with_parents(changes: Iterable[Change]) -> Iterator[Change]:
    """Put each change's unchanged parents before it; the order stays that of the paths."""
    listed: set[bytes] = set()
    for change in changes:
        parents = []
        folder = change.path.rpartition(b"/")[0]
        while folder and folder not in listed:
            parents.append(folder)
            folder = folder.rpartition(b"/")[0]
        for parent in reversed(parents):
            listed.add(parent)
            yield Change("C", parent)
        listed.add(change.path)
        yield change


def changed_entries(
    changes: Iterable[Change], tree: TreeView, *, clamp: int | None = None
) -> EntryStream:
    """The changes as the members of a layer, in their order; `tree` shows what there is now.

    Times later than `clamp`, in seconds since the epoch, become that. Names of one file after
    the first become hard links.
    """
    limit = clamp * _NANO if clamp is not None else None
    links: dict[tuple[int, int], bytes] = {}
    for change in changes:
        if change.kind == "D":
            yield Entry(marker(change.path), FILE, 0), None
            continue
        status = tree.lstat(change.path)
        if status is None:
            raise StorageError(
                f"{shown(change.path)} vanished while it was read",
                hint="try again when it is still",
            )
        identity = (status.st_dev, status.st_ino)
        first = links.get(identity) if status.st_nlink > 1 else None
        if first is not None and not stat.S_ISDIR(status.st_mode):
            yield (
                _entry(tree, change.path, status, limit)._replace(
                    kind=HARDLINK, link=first, size=0, xattrs=()
                ),
                None,
            )
            continue
        if status.st_nlink > 1:
            links[identity] = change.path
        entry = _entry(tree, change.path, status, limit)
        yield entry, _opener(tree, entry)


def _entry(tree: TreeView, path: bytes, status: os.stat_result, limit: int | None) -> Entry:
    link = tree.readlink(path) if stat.S_ISLNK(status.st_mode) else b""
    entry = entry_of(path, status, link, tree.xattrs(path))
    return entry if limit is None else entry._replace(mtime_ns=min(entry.mtime_ns, limit))


def entry_of(path: bytes, status: os.stat_result, link: bytes, xattrs: Xattrs) -> Entry:
    """The member that a status tells of, called `path`."""
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    device = status.st_rdev if kind in (CHAR, BLOCK) else 0
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size if kind == FILE else 0,
        status.st_mtime_ns,
        link,
        os.major(device),
        os.minor(device),
        xattrs,
    )


def _opener(tree: TreeView, entry: Entry) -> Opener | None:
    if entry.kind != FILE:
        return None
    return lambda: tree.open(entry.name)


def whole_tree(tree: TreeView, *, clamp: int | None = None) -> EntryStream:
    """Every entry of a tree as the members of one layer."""
    return changed_entries(_everything(tree, b""), tree, clamp=clamp)


def entries_below(tree: TreeView, path: bytes, base: bytes) -> EntryStream:
    """What stands at `path` with all below it, as members named from `base` on."""
    status = tree.lstat(path)
    top = [Change("A", path)] if path else []
    if status is not None and stat.S_ISDIR(status.st_mode):
        top += _everything(tree, path)
    for entry, opener in changed_entries(top, tree):
        link = entry.link
        if entry.kind == HARDLINK:
            link = _renamed(link, path, base)
        yield entry._replace(name=_renamed(entry.name, path, base), link=link), opener


def _renamed(name: bytes, path: bytes, base: bytes) -> bytes:
    rest = name[len(path) :].lstrip(b"/")
    return base + b"/" + rest if base and rest else base or rest


def _everything(tree: TreeView, top: bytes) -> Iterator[Change]:
    waiting = [(top, iter(tree.listdir(top)))]
    while waiting:
        folder, names = waiting[-1]
        name = next(names, None)
        if name is None:
            waiting.pop()
            continue
        path = folder + b"/" + name if folder else name
        status = tree.lstat(path)
        if status is None or stat.S_ISSOCK(status.st_mode):
            continue
        yield Change("A", path)
        if stat.S_ISDIR(status.st_mode):
            waiting.append((path, iter(tree.listdir(path))))
