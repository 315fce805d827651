"""Opening and renaming relative to a descriptor, with the kernel resolving inside a root."""

import errno
import os
import struct
from collections.abc import Iterator

from lamina.kernel.libc import OPENAT2, fail, libc_call, syscall

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
_RETRIES = 64  # EAGAIN: a rename elsewhere raced with "..", openat2(2)


def openat2(directory: int, path: bytes, flags: int, mode: int = 0, resolve: int = IN_ROOT) -> int:
    """Open `path` beneath `directory`, never leaving it; close-on-exec. Raises OSError."""
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
    import ctypes

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    buffer = ctypes.create_string_buffer(32768)
    try:
        while True:
            length = _getdents(descriptor, buffer)
            if length == 0:
                return
            yield from _parse(buffer.raw[:length])
    finally:
        os.close(descriptor)


def _getdents(descriptor: int, buffer: object) -> int:
    import ctypes

    assert isinstance(buffer, ctypes.Array)
    length = libc_call_buffer("getdents64", descriptor, buffer)
    if length < 0:
        raise fail("getdents64")
    return length


def libc_call_buffer(name: str, descriptor: int, buffer: object) -> int:
    """Call `name(descriptor, buffer, len(buffer))` of libc."""
    import ctypes

    from lamina.kernel.libc import _LIBC

    assert isinstance(buffer, ctypes.Array)
    function = getattr(_LIBC, name)
    function.restype = ctypes.c_ssize_t
    return int(function(ctypes.c_int(descriptor), buffer, ctypes.c_size_t(len(buffer))))


def _parse(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=HB", data, at + 16)
        name = data[at + 19 : at + length].split(b"\0", 1)[0]
        if name not in (b".", b".."):
            yield name, kind
        at += length
