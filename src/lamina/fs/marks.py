"""How those who unite directories mark in one what they hide of those below it.

The kernel's overlayfs makes a device 0:0 in the place of a name that is gone, and an attribute on
a directory below which nothing shows; fuse-overlayfs does the same, writes a file beside it, and
understands the names of layer tars (`.wh.NAME`) where it may make no device.
"""

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from lamina.kernel import xattr

PREFIX = ".wh."
OPAQUE_FILE = b".wh..wh..opq"
_ABOUT_ITSELF = ".wh..wh."


class Node(Protocol):
    """What kind of thing a name stands for; every os.stat_result tells it."""

    @property
    def st_mode(self) -> int: ...

    @property
    def st_rdev(self) -> int: ...


class Marks(NamedTuple):
    """`opaque`: attributes of which any, as `y`, hides all below; `files`: `.wh.` names do, too."""

    opaque: tuple[bytes, ...]
    files: bool

    def is_opaque(self, directory: int | bytes) -> bool:
        """Whether an attribute of an open directory, or of a path, says so."""
        return any(xattr.get(directory, name) == b"y" for name in self.opaque)

    def has_opaque_file(self, directory: int) -> bool:
        """Whether a file in an open directory says so."""
        return self.files and _exists(directory, OPAQUE_FILE)

    def hides(self, directory: int, name: bytes) -> bool:
        """Whether a file beside it hides a name that is not in this directory."""
        return self.files and _exists(directory, os.fsencode(PREFIX) + name)

    def is_mark(self, name: bytes) -> bool:
        """Whether a name is no name of the tree."""
        return self.files and name.startswith(os.fsencode(PREFIX))

    def meant(self, listed: Iterable[bytes]) -> set[bytes]:
        """The names that a directory says something of, hidden ones included."""
        if not self.files:
            return set(listed)
        names = set()
        for name in listed:
            if not self.is_mark(name):
                names.add(name)
            elif not name.startswith(os.fsencode(_ABOUT_ITSELF)):
                names.add(name[len(PREFIX) :])
        return names


KERNEL = Marks((b"trusted.overlay.opaque",), False)
USER = Marks((b"user.overlay.opaque",), False)
FUSE = Marks((*KERNEL.opaque, b"user.fuseoverlayfs.opaque"), True)


def is_whiteout(status: Node) -> bool:
    """Whether this marks an absent name: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False  # not there, or longer than a name can be
    return True
