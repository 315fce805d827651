"""Comparing two whole trees, for drivers whose layers are whole trees.

Works on any file system and grows with the image; a driver that can ask for less does so.
"""

import stat
from collections.abc import Iterable, Iterator

from lamina.archive.diff import tree_changes
from lamina.archive.results import Change
from lamina.fs.tree import StackedTree, TreeView
from lamina.fs.usage import Usage


def changes(new: TreeView, old: TreeView | None, since: int) -> Iterator[Change]:
    """What `new` changed over `old`, sorted by path; contents are compared where they may differ.

    A file whose time and size were put back has a ctime all the same: not before `since`, in
    nanoseconds, when the tree was made of the old one.
    """
    yield from tree_changes(
        new,
        old if old is not None else StackedTree(()),
        suspicious=lambda status: status.st_ctime_ns >= since,
    )


def usage(found: Iterable[Change], tree: TreeView) -> Usage:
    """What the changes take up in `tree`; files with several names count once."""
    size = disk = entries = 0
    seen: set[tuple[int, int]] = set()
    for change in found:
        status = tree.lstat(change.path) if change.kind != "D" else None
        if status is None:
            continue
        entries += 1
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode) and identity not in seen:
            seen.add(identity)
            size += status.st_size
            disk += status.st_blocks * 512
    return Usage(size, disk, entries)
