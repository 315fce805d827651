"""File system calls by descriptor: reflink, flags, syncfs."""

import fcntl
import os
import struct

from lamina.kernel.libc import fail, libc_call

_FICLONE = 0x40049409  # include/uapi/linux/fs.h
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_IMMUTABLE_FL = 0x10
_FS_APPEND_FL = 0x20


def ficlone(target: int, source: int) -> None:
    """Let `target` share all blocks of `source`; raises OSError where that cannot be."""
    fcntl.ioctl(target, _FICLONE, source)


def syncfs(descriptor: int) -> None:
    """Write the whole file system of `descriptor` to disk (syncfs(2))."""
    if libc_call("syncfs", descriptor) < 0:
        raise fail("syncfs")


def clear_protection(descriptor: int) -> bool:
    """Take off the immutable and append-only flags; True when one was set."""
    raw = fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, struct.pack("l", 0))
    (flags,) = struct.unpack("l", raw)
    kept = flags & ~(_FS_IMMUTABLE_FL | _FS_APPEND_FL)
    if kept == flags:
        return False
    fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", kept))
    return True


def is_root() -> bool:
    """Whether the effective user is 0."""
    return os.geteuid() == 0
