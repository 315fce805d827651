"""What a tree takes up: apparent bytes with hard links once, disk blocks, entries."""

import stat
from typing import NamedTuple

from lamina.fs.walk import walk


class Usage(NamedTuple):
    """`size` in apparent bytes of regular files, `disk` in bytes of allocated blocks."""

    size: int
    disk: int
    entries: int


def usage_of(root: int) -> Usage:
    """Measure the tree below the directory `root`; files with several names count once.

    It may change meanwhile, as that of a container does: what goes first does not count.
    """
    size = disk = entries = 0
    seen: set[tuple[int, int]] = set()
    for found in walk(root, may_change=True):
        entries += 1
        status = found.status
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            identity = (status.st_dev, status.st_ino)
            if identity in seen:
                continue
            seen.add(identity)
        disk += status.st_blocks * 512
        if stat.S_ISREG(status.st_mode):
            size += status.st_size
    return Usage(size, disk, entries)
