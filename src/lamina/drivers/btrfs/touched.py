"""Which files of a snapshot may differ from what it was made of, asked of btrfs's own tree.

A snapshot has the inode numbers of its origin, and each inode carries the transaction that last
touched it. So the touched inodes are found in the parts of the tree written since, and a
directory that is the same inode in both, untouched and without a touched one below it, is equal
in both with all that it holds. The cost is that of what changed and of listing the directories
on the way there, whatever the size of the image.
"""

import os
import stat
from collections.abc import Iterable

from lamina.archive.diff import names_of_both
from lamina.fs.tree import TreeView
from lamina.kernel import btrfs


class Touched:
    """The touched inodes of one subvolume, and the directories on the way to them."""

    def __init__(self, subvolume: int, since: int) -> None:
        """Raises OSError; the file system is written out before (syncfs)."""
        self._device = os.fstat(subvolume).st_dev
        self.inodes = {inode.number for inode in btrfs.changed_inodes(subvolume, since)}
        self._on_the_way = _with_ancestors(subvolume, self.inodes)

    def names(self, new: TreeView, old: TreeView, folder: bytes) -> list[bytes]:
        """The names in a directory that may differ; all of them where nothing is known of it."""
        now, was = new.lstat(folder), old.lstat(folder)
        if now is None or was is None or not self._is_same(now, was):
            return names_of_both(new, old, folder)
        after = _inodes(new, folder)
        if now.st_ino not in self.inodes:  # nothing was added, renamed or removed in it
            return sorted(name for name, inode in after.items() if inode in self._on_the_way)
        before = _inodes(old, folder)
        names = after.keys() | before.keys()
        return sorted(name for name in names if self._may_differ(after.get(name), before.get(name)))

    def _is_same(self, now: os.stat_result, was: os.stat_result) -> bool:
        """Whether a directory is the one of the origin, whatever became of what it holds."""
        return stat.S_ISDIR(was.st_mode) and now.st_dev == self._device and now.st_ino == was.st_ino

    def _may_differ(self, after: int | None, before: int | None) -> bool:
        return after is None or after != before or after in self._on_the_way


def _with_ancestors(subvolume: int, inodes: Iterable[int]) -> set[int]:
    found: set[int] = {btrfs.ROOT_INODE}
    waiting = list(inodes)
    while waiting:
        inode = waiting.pop()
        if inode not in found:
            found.add(inode)
            waiting += btrfs.parents_of(subvolume, inode)
    return found


def _inodes(tree: TreeView, folder: bytes) -> dict[bytes, int]:
    """The names in a directory with the inodes that it gives for them."""
    descriptor = tree.open(folder)
    try:
        with os.scandir(descriptor) as entries:
            return {os.fsencode(entry.name): entry.inode() for entry in entries}
    finally:
        os.close(descriptor)
