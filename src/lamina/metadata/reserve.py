"""Room that is kept on the store's disk, so that a full one can still be read and emptied.

SQLite writes even to read, and to remove a row it needs room first; where the file that it maps
into memory cannot grow, the kernel ends the process (SIGBUS). So a store holds a file of nothing,
of which a quarter is given back to the disk when that is full, and no database is opened without
room.

Knows nothing of what is stored. Does not protect against a disk that others fill meanwhile.
"""

import errno
import os

from lamina.errors import from_oserror

_SIZE = 1 << 20  # bytes
_WANTED = 256 << 10  # bytes free, below which the reserve is given back
_NEEDED = 128 << 10  # bytes without which no database is opened: its index and log grow


def give_back(folder: str, reserve: str) -> None:
    """Let the disk of `folder` have the room at the path `reserve`, if it needs it.

    Raises `DiskFull` when that is not enough, or OSError.
    """
    if _free(folder) >= _WANTED:
        return
    try:
        descriptor = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise from_oserror(error, "opening the store", folder) from error
        return  # whoever only reads takes no room
    try:
        os.ftruncate(descriptor, 0)
        _try(descriptor, folder)
        os.ftruncate(descriptor, 0)
        _keep_the_rest(descriptor, folder)
    finally:
        os.close(descriptor)


def _keep_the_rest(descriptor: int, folder: str) -> None:
    """Take again what this opener does not need: else what it does would fill that, too.

    Whatever eats the room that it leaves, the next opener has some to begin with.
    """
    spare = min(_SIZE, _free(folder) - _WANTED)
    if spare > 0:
        try:
            os.posix_fallocate(descriptor, 0, spare)
        except OSError:
            os.ftruncate(descriptor, 0)


def _try(descriptor: int, folder: str) -> None:
    """What a file system says of its free room is not what it gives: have it, for a moment."""
    try:
        os.posix_fallocate(descriptor, 0, _NEEDED)
    except OSError as error:
        os.ftruncate(descriptor, 0)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return
        raise from_oserror(error, "opening the store", folder) from error


def take(folder: str, reserve: str) -> None:
    """Keep room again, as far as there is any. Raises OSError."""
    try:
        size = os.stat(reserve).st_size
    except FileNotFoundError:
        size = 0
    if size >= _SIZE:
        return
    wanted = _SIZE if _free(folder) >= 2 * _SIZE else min(_SIZE, size + _free(folder))
    if wanted == size:
        return
    descriptor = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, size, wanted - size)
    except OSError:
        os.ftruncate(descriptor, size)  # there was less: whoever closes next tries again
    finally:
        os.close(descriptor)


def fill_holes(index: str) -> None:
    """Give every block of SQLite's mapped index its place on the disk, before it is written to.

    SQLite does so a page at a time, by its last byte; smaller blocks before that stay holes. Only
    its own descriptor is used: closing another one would drop its locks.
    """
    try:
        if os.statvfs(index).f_bsize >= os.sysconf("SC_PAGE_SIZE"):
            return
        for name in os.listdir("/proc/self/fd"):
            if os.readlink(f"/proc/self/fd/{name}") == index:
                os.posix_fallocate(int(name), 0, os.fstat(int(name)).st_size)
                return
    except OSError:
        return  # no worse than before


def _free(folder: str) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
