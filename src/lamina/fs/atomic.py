"""Writing a file so that a reader sees the old one or the new one whole; taking one away."""

import os
from collections.abc import Iterable

_STEADY = 4 << 20  # bytes between two beginnings


def write_file(
    path: str,
    data: bytes,
    *,
    mode: int = 0o644,
    durable: bool = False,
    temporary: str | None = None,
) -> None:
    """Put `data` at `path` by way of a temporary name; with `durable` also on disk.

    A kill leaves the temporary file: whoever can find it again says where it is to be, by a name
    that nobody else writes to. Raises OSError; then the old file is there and no temporary one.
    """
    write_pieces(path, (data,), mode=mode, durable=durable, temporary=temporary)


def write_pieces(
    path: str,
    pieces: Iterable[bytes],
    *,
    mode: int = 0o644,
    durable: bool = False,
    temporary: str | None = None,
) -> None:
    """The same with data that comes in pieces."""
    if temporary is None:
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode
    )
    try:
        try:
            os.fchmod(descriptor, mode)  # whatever the caller's umask is
            for data in pieces:
                write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def replace_file(path: str, data: bytes, *, temporary: str, mode: int = 0o600) -> None:
    """Put `data` at `path` by way of `temporary`, a name of the caller's that nobody else uses.

    A power cut leaves the old file or the new one: the bytes are on disk before they have the
    name. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def pwrite_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write every byte at `offset`, however many calls it takes."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view = view[done:]
        offset += done


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Steadily:
    """Writes every byte, and has the kernel begin to put them on disk while more come.

    So that whoever waits at the end for all of it to be there waits for little. DONTNEED begins
    the writing of dirty pages, and waits for none (Linux, mm/fadvise.c).
    """

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._at = self._begun = 0

    def __call__(self, data: bytes) -> None:
        write_all(self._fd, data)
        self._at += len(data)
        if self._at - self._begun >= _STEADY:
            os.posix_fadvise(self._fd, self._begun, self._at - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self._at


def unlink_if_there(path: str) -> None:
    """Take a file away that another process may have taken away; raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
