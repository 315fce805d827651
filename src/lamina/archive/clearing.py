"""Taking away what stands in a member's place, and keeping the bytes that the tar still needs.

Goes down by descriptor without recursion, so that depth costs nothing; follows no link.
"""

import errno
import os
import stat
from collections.abc import Callable

from lamina.fs.copy import copy_file
from lamina.fs.descent import Descent

OnFile = Callable[[int, bytes, bytes, os.stat_result], None]
"""Told of each regular file before it goes: its directory, name, path and status."""

_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM)


def clear(directory: int, name: bytes, path: bytes, on_file: OnFile) -> None:
    """Remove the file or the whole directory `name`, which stands at `path` of the layer."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        _unlink(directory, name, path, status, on_file)
        return
    descent = Descent(directory)
    try:
        waiting = [(name, path, _names(descent.enter(name)))]
        while waiting:
            name, path, names = waiting[-1]
            if not names:
                waiting.pop()
                descent.leave()
                os.rmdir(name, dir_fd=descent.here)
                continue
            child = names.pop()
            below = path + b"/" + child
            status = os.stat(child, dir_fd=descent.here, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                waiting.append((child, below, _names(descent.enter(child))))
            else:
                _unlink(descent.here, child, below, status, on_file)
    finally:
        descent.close()


def _names(directory: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(directory)]


def _unlink(
    directory: int, name: bytes, path: bytes, status: os.stat_result, on_file: OnFile
) -> None:
    if stat.S_ISREG(status.st_mode):
        on_file(directory, name, path, status)
    os.unlink(name, dir_fd=directory)


def salvage(directory: int, name: bytes, into: int, kept: bytes, size: int) -> None:
    """Give a file that is about to go another name in `into`; a copy where it cannot be linked."""
    try:
        os.link(name, kept, src_dir_fd=directory, dst_dir_fd=into, follow_symlinks=False)
    except FileExistsError:
        pass  # another name of the same file was destroyed just before
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(directory, name, into, kept, size)


def _copy(directory: int, name: bytes, into: int, kept: bytes, size: int) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        made = os.open(kept, flags, 0o600, dir_fd=into)
        try:
            copy_file(source, made, size)
        finally:
            os.close(made)
    finally:
        os.close(source)
