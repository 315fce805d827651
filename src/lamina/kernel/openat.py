"""Opening and renaming relative to a descriptor, with the kernel resolving inside a root."""

import errno
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lamina.kernel.libc import OPENAT2, buffer, fail, libc_call, syscall

if TYPE_CHECKING:
    import ctypes

# include/uapi/linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

DT_UNKNOWN = 0
_ENTRIES = 32768  # bytes of entries asked for at once, as glibc's readdir does
_RETRIES = 64  # EAGAIN: a rename elsewhere raced with "..", openat2(2)


def openat2(directory: int, path: bytes, flags: int, mode: int = 0, resolve: int = IN_ROOT) -> int:
    """Open `path` beneath `directory`, never leaving it; close-on-exec. Raises OSError."""
    if b"\0" in path:  # libc would end the path there
        raise OSError(errno.EINVAL, "the path holds a NUL byte", os.fsdecode(path))
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_RETRIES):
        descriptor = syscall(OPENAT2, directory, path or b".", how, len(how))
        if descriptor >= 0:
            return descriptor
        error = fail("openat2", path)
        if error.errno not in (errno.EAGAIN, errno.EINTR):
            raise OSError(error.errno, os.strerror(error.errno or 0), os.fsdecode(path))
    raise OSError(errno.EAGAIN, "the path keeps changing", os.fsdecode(path))


def renameat2(old_dir: int, old: bytes, new_dir: int, new: bytes, flags: int) -> None:
    """Rename with RENAME_NOREPLACE or RENAME_EXCHANGE."""
    if libc_call("renameat2", old_dir, old, new_dir, new, flags) < 0:
        raise fail("renameat2", new)


def directory_entries(path: str) -> Iterator[tuple[bytes, int]]:
    """Names and d_type of a directory's raw entries (getdents64(2)), without `.` and `..`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    room = buffer(_ENTRIES)
    try:
        while length := _read_entries(descriptor, room):
            yield from _parse(room.raw[:length])
    finally:
        os.close(descriptor)


def _read_entries(descriptor: int, room: "ctypes.Array[ctypes.c_char]") -> int:
    length = libc_call("getdents64", descriptor, room, len(room))
    if length < 0:
        raise fail("getdents64")
    return length


def _parse(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The records of struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name with its NUL."""
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=HB", data, at + 16)
        name = data[at + 19 : at + length].split(b"\0", 1)[0]
        if name not in (b".", b".."):
            yield name, kind
        at += length
