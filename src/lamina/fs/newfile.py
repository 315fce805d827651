"""A file that is complete or not there at all, whatever ends us meanwhile. Knows no content."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import from_oserror
from lamina.fs.atomic import sync_directory
from lamina.fs.faults import crash_point

_FLAGS = os.O_RDWR | os.O_CLOEXEC


@contextmanager
def new_file(
    path: str,
    *,
    mode: int = 0o666,
    durable: bool = False,
    replace: bool = True,
    follow: bool = True,
) -> Iterator[int]:
    """A descriptor to write to; the file has its name, with these bytes, when the block ends well.

    A link is followed, or else (`follow=False`) replaced. With `durable` the bytes are on disk
    before the name is, and the name when this returns. Where there is such a file already it is
    replaced, or else (`replace=False`) left as it is. Where a file system has no nameless files,
    or another file is to be replaced, a kill may leave one that is called
    `<path>.<process ID>.tmp`. Raises `StorageError`.
    """
    path = os.path.realpath(path) if follow else os.path.abspath(path)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor, is_nameless = _opened(folder, temporary, mode)
            try:
                yield descriptor
                crash_point("file-written")
                if durable:
                    os.fdatasync(descriptor)
                if not is_nameless or not _named(descriptor, folder, path, temporary, replace):
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


def _named(nameless: int, folder: int, path: str, temporary: str, replace: bool) -> bool:
    """Give the file its name; where another has that, the temporary one, and False."""
    own = f"/proc/self/fd/{nameless}"  # which linkat(2) follows
    try:
        os.link(own, os.path.basename(path), dst_dir_fd=folder)
    except FileExistsError:
        if not replace:
            return True
        os.link(own, os.path.basename(temporary), dst_dir_fd=folder)
        return False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
