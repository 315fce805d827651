"""Going down a tree and up again by descriptor, with few of them open however deep it is.

The way back leads through `..`, so every directory on it is known by device and inode and
checked again: a tree that was moved meanwhile is an error, never another tree.
"""

import errno
import os

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = 32  # directories kept open on the way; trees of images are 10 to 20 levels deep
_PATH = 4000  # bytes of a path that one call takes, PATH_MAX less some room


class Descent:
    """The directories from a root, whose descriptor is only borrowed, to where one is now."""

    def __init__(self, root: int) -> None:
        self._levels = [root]
        self._shelved: list[tuple[int, int]] = []  # identity of levels 1, 2, ... closed so far

    @property
    def here(self) -> int:
        """The descriptor of the directory where one is; valid until one leaves it."""
        return self._levels[-1]

    @property
    def depth(self) -> int:
        """How many levels below the root one is."""
        return len(self._levels) - 1

    def enter(self, name: bytes | str) -> int:
        """Go down into the directory `name`, no link followed; raises OSError."""
        descriptor = os.open(name, DIRECTORY, dir_fd=self.here)
        self._levels.append(descriptor)
        if self.depth - len(self._shelved) > _OPEN:
            self._shelve()
        return descriptor

    def leave(self) -> None:
        """Go up; raises OSError(ESTALE) when the tree was moved meanwhile."""
        below = self._levels.pop()
        try:
            if self.depth and self.depth == len(self._shelved):
                self._levels[-1] = _above(below, self._shelved[-1])
                self._shelved.pop()
        finally:
            os.close(below)

    def _shelve(self) -> None:
        """Close the topmost open level below the root, to be found again by `..`."""
        level = len(self._shelved) + 1
        status = os.fstat(self._levels[level])
        os.close(self._levels[level])
        self._shelved.append((status.st_dev, status.st_ino))

    def close(self) -> None:
        """Close all that is open; the root stays as it is."""
        first = len(self._shelved) + 1
        for descriptor in self._levels[first:]:
            os.close(descriptor)
        del self._levels[1:]
        self._shelved.clear()


def _above(directory: int, identity: tuple[int, int]) -> int:
    descriptor = os.open(b"..", DIRECTORY, dir_fd=directory)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != identity:
        os.close(descriptor)
        raise OSError(errno.ESTALE, "a directory was moved while the tree was read")
    return descriptor


def open_folder(root: int, path: bytes) -> int:
    """Open the directory at `path` below `root`, no link followed, of any length of path.

    The caller closes it. Raises OSError.
    """
    here = os.open(b".", DIRECTORY, dir_fd=root)
    for name in path.split(b"/") if path else ():
        try:
            below = os.open(name, DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def is_long(path: bytes) -> bool:
    """Whether `path` is more than one call takes."""
    return len(path) > _PATH
