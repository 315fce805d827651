"""What a file is, in 72 bytes (a build context may hold a million), and when that can be trusted.

A file is believed to hold what it held while device, inode, size, mtime and ctime are what they
were, provided that a change would have shown in them (`settled`). Reads no file.
"""

import os
import stat
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

_LAYOUT = Struct("<QQQqqIIIIQ")
_FACTS = Struct("<16xQ16xIII4xQ")
_MODE = Struct("<I")
_MODE_AT = 40
_TIME = Struct("<q")
_CTIME_AT = 32
IDENTITY = 40  # the first bytes: device, inode, size, mtime, ctime
_MOST_LINKS = 0xFFFFFFFF
_TICK = 50_000_000  # ns: some jiffies, the coarse clock that file systems stamp with
_WHOLE_SECONDS = 2_000_000_000  # ns: FAT's two seconds, the coarsest in use


class Status(NamedTuple):
    """A file's status; times in ns since the epoch."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int
    links: int
    rdev: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    def is_still(self, now: os.stat_result) -> bool:
        """Whether nothing happened to the file until `now`."""
        return self[:5] == (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def packed(status: os.stat_result) -> bytes:
    """The status as bytes; equal bytes mean that nothing happened to the file."""
    links = status.st_nlink
    return _LAYOUT.pack(
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        links if links <= _MOST_LINKS else _MOST_LINKS,
        status.st_rdev,
    )


def inline(size: int, mode: int = 0o644, mtime_ns: int = 0) -> bytes:
    """The status of a file that lies in no tree: it stands in the Dockerfile, or was fetched."""
    return _LAYOUT.pack(0, 0, size, mtime_ns, 0, stat.S_IFREG | mode, 0, 0, 1, 0)


def unpacked(data: bytes) -> Status:
    """The status that `packed` packed."""
    return tuple.__new__(Status, _LAYOUT.unpack(data))


facts: Callable[[bytes], tuple[int, int, int, int, int]] = _FACTS.unpack
"""Size, mode, owner, group and device number of a packed status, in a third of the time."""


def is_directory(data: bytes) -> bool:
    """Whether a packed status is a directory's."""
    (mode,) = _MODE.unpack_from(data, _MODE_AT)
    return stat.S_ISDIR(mode)


def ctime_ns(data: bytes) -> int:
    """The time of the last change of a packed status, in ns since the epoch."""
    time: int = _TIME.unpack_from(data, _CTIME_AT)[0]
    return time


def settled(ctime_ns: int, now_ns: int) -> bool:
    """Whether a change after `now_ns` (since the epoch) must show in the file's ctime."""
    coarse = ctime_ns % 1_000_000_000 == 0
    return ctime_ns < now_ns - (_WHOLE_SECONDS if coarse else _TICK)
