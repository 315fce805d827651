"""A tree that is opened when it is first asked about: by then it must be complete, not before."""

import os
from collections.abc import Callable

from lamina.fs.tree import TreeView, Xattrs


class LaterTree:
    """What `opened` gives, asked for at the first question; raises what `opened` raises.

    Not for several threads at once.
    """

    def __init__(self, opened: Callable[[], TreeView]) -> None:
        self._opened = opened
        self._tree: TreeView | None = None

    def _now(self) -> TreeView:
        if self._tree is None:
            self._tree = self._opened()
        return self._tree

    def lstat(self, path: bytes) -> os.stat_result | None:
        """As `TreeView`."""
        return self._now().lstat(path)

    def readlink(self, path: bytes) -> bytes:
        """As `TreeView`."""
        return self._now().readlink(path)

    def listdir(self, path: bytes) -> list[bytes]:
        """As `TreeView`."""
        return self._now().listdir(path)

    def open(self, path: bytes) -> int:
        """As `TreeView`."""
        return self._now().open(path)

    def xattrs(self, path: bytes) -> Xattrs:
        """As `TreeView`."""
        return self._now().xattrs(path)

    def locate(self, path: bytes) -> tuple[int, bytes] | None:
        """As `TreeView`."""
        return self._now().locate(path)

    def resolve(self, path: bytes, *, follow_last: bool) -> bytes:
        """As `TreeView`."""
        return self._now().resolve(path, follow_last=follow_last)

    def close(self) -> None:
        """Close the tree, if it was opened."""
        if self._tree is not None:
            self._tree.close()
            self._tree = None
