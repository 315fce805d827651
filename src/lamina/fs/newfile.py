"""A file that is complete or not there at all, whatever ends us meanwhile. Knows no content."""

import _thread
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import StorageError, from_oserror
from lamina.fs.atomic import sync_directory
from lamina.fs.faults import crash_point

_FLAGS = os.O_RDWR | os.O_CLOEXEC


@contextmanager
def new_file(
    path: str, *, mode: int = 0o666, durable: bool = False, follow: bool = True
) -> Iterator[int]:
    """A descriptor to write to; the file has its name, with these bytes, when the block ends well.

    A link is followed, or else (`follow=False`) replaced. An older file is replaced, and what a
    link or the path leads to that is no regular file is left alone. With `durable` the bytes are
    on disk before the name is, and the name when this returns. Where a file system has no nameless
    files, or an older file is to be replaced, a kill may leave one that is called
    `<path>.<thread ID>.tmp`. Raises `StorageError`.
    """
    path = os.path.realpath(path) if follow else os.path.abspath(path)
    if follow and os.path.exists(path) and not os.path.isfile(path):
        raise StorageError(f"{path} is no regular file, and is not replaced by one")
    temporary = f"{path}.{_thread.get_native_id()}.tmp"  # a thread's own, in all processes
    try:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor, is_nameless = _opened(folder, temporary, mode)
            try:
                yield descriptor
                crash_point("file-written")
                if durable:
                    os.fdatasync(descriptor)
                if not is_nameless or not _named(descriptor, folder, path, temporary):
                    os.replace(temporary, path)
            finally:
                os.close(descriptor)
        finally:
            os.close(folder)
        if durable:
            sync_directory(os.path.dirname(path))
    except OSError as error:
        _unlink(temporary)
        raise from_oserror(error, "writing", path) from error
    except BaseException:
        _unlink(temporary)
        raise


def _opened(folder: int, temporary: str, mode: int) -> tuple[int, bool]:
    try:
        return os.open(".", os.O_TMPFILE | _FLAGS, mode, dir_fd=folder), True
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    return os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | _FLAGS, mode), False


def _named(nameless: int, folder: int, path: str, temporary: str) -> bool:
    """Give the file its name; where another has that, the temporary one, and False."""
    own = f"/proc/self/fd/{nameless}"  # which linkat(2) follows
    try:
        os.link(own, os.path.basename(path), dst_dir_fd=folder)
    except FileExistsError:
        _unlink(temporary)  # of one that was killed, and had the number that is ours now
        os.link(own, os.path.basename(temporary), dst_dir_fd=folder)
        return False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
