"""File system calls by descriptor: reflink, shared blocks, flags, syncfs."""

import fcntl
import os
import struct

from lamina.kernel.libc import fail, libc_call

_FICLONE = 0x40049409  # include/uapi/linux/fs.h
_FIDEDUPERANGE = 0xC0189436
_SAME = 0  # FILE_DEDUPE_RANGE_SAME
_FIEMAP = 0xC020660B  # include/uapi/linux/fiemap.h
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


def dedupe_range(source: int, target: int, at: int, length: int) -> int:
    """Let `target` share the blocks of `source` where both hold the same; gives how many bytes.

    The kernel compares, and shares, in one step that nobody sees half of. 0 where they differ.
    Raises OSError where that cannot be.
    """
    request = bytearray(struct.pack("QQHHIqQQiI", at, length, 1, 0, 0, target, at, 0, 0, 0))
    fcntl.ioctl(source, _FIDEDUPERANGE, request)
    *_, done, status, _ = struct.unpack("QQHHIqQQiI", request)
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return int(done) if status == _SAME else 0


def first_block(descriptor: int) -> int:
    """Where the first bytes of a file lie on its device; 0 for nowhere yet. Raises OSError."""
    whole = (1 << 64) - 1
    request = bytearray(struct.pack("QQIIII", 0, whole, 0, 0, 1, 0) + bytes(56))
    fcntl.ioctl(descriptor, _FIEMAP, request)
    (mapped,) = struct.unpack_from("I", request, 20)
    (physical,) = struct.unpack_from("Q", request, 40)
    return int(physical) if mapped else 0
