"""Copying file contents and whole trees: shared blocks where possible, nothing lost.

FICLONE, else copy_file_range, else read and write; holes stay holes.
"""

import errno
import os
import stat

from lamina.fs.atomic import write_all
from lamina.fs.walk import Found, walk
from lamina.kernel import xattr
from lamina.kernel.ioctl import ficlone

_CHUNK = 1 << 20
_REFUSED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY)


def copy_file(source: int, target: int, size: int) -> None:
    """Let the empty file `target` hold the first `size` bytes of `source`."""
    if size == 0:
        return
    try:
        ficlone(target, source)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _copy_data(source, target, size)
    os.ftruncate(target, size)


def _copy_data(source: int, target: int, size: int) -> None:
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole follows
            start = at
        end = min(_end_of_data(source, start, size), size)
        copy_range(source, start, target, start, end - start)
        at = end


def _end_of_data(source: int, start: int, size: int) -> int:
    try:
        return os.lseek(source, start, os.SEEK_HOLE)
    except OSError:
        return size


def copy_range(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    """Copy `length` bytes between two files at the given offsets; raises OSError."""
    while length > 0:
        try:
            moved = os.copy_file_range(source, target, length, source_at, target_at)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            _copy_by_hand(source, source_at, target, target_at, length)
            return
        if moved == 0:
            return  # the source is shorter than was said
        source_at, target_at, length = source_at + moved, target_at + moved, length - moved


def _copy_by_hand(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    os.lseek(target, target_at, os.SEEK_SET)
    while length > 0:
        data = os.pread(source, min(_CHUNK, length), source_at)
        if not data:
            return
        write_all(target, data)
        source_at, length = source_at + len(data), length - len(data)


def copy_tree(source: int, target: int) -> None:
    """Copy all below the directory `source` into the empty directory `target`, and its own
    metadata: modes, owners, times, attributes, holes, hard links, devices; sockets are left.
    """
    copier = _TreeCopier(target)
    try:
        for found in walk(source):
            copier.copy(found)
    finally:
        copier.finish()
    copy_metadata(source, target, os.fstat(source))


class _TreeCopier:
    """One directory open for writing per level; directories get their times when they are left."""

    def __init__(self, target: int) -> None:
        self._levels: list[tuple[bytes, int, int, os.stat_result]] = []
        self._target = target
        self._links: dict[tuple[int, int], bytes] = {}

    def copy(self, found: Found) -> None:
        folder = found.path[: -len(found.name)].rstrip(b"/")
        while self._levels and self._levels[-1][0] != folder:
            self._leave()
        into = self._levels[-1][1] if self._levels else self._target
        mode = found.status.st_mode
        if stat.S_ISDIR(mode):
            self._enter(found, into)
        elif not stat.S_ISSOCK(mode) and not self._linked(found, into):
            _copy_entry(found, into)

    def _enter(self, found: Found, into: int) -> None:
        os.mkdir(found.name, 0o700, dir_fd=into)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(found.name, flags, dir_fd=into)
        origin = os.open(found.name, flags, dir_fd=found.directory)
        self._levels.append((found.path, made, origin, found.status))

    def _leave(self) -> None:
        _, made, origin, status = self._levels.pop()
        try:
            copy_metadata(origin, made, status)
        finally:
            os.close(made)
            os.close(origin)

    def _linked(self, found: Found, into: int) -> bool:
        """Link to the copy that another name of the same file already has."""
        if found.status.st_nlink < 2:
            return False
        identity = (found.status.st_dev, found.status.st_ino)
        first = self._links.setdefault(identity, found.path)
        if first == found.path:
            return False
        os.link(first, found.name, src_dir_fd=self._target, dst_dir_fd=into, follow_symlinks=False)
        return True

    def finish(self) -> None:
        while self._levels:
            self._leave()


def _copy_entry(found: Found, into: int) -> None:
    status, name = found.status, found.name
    if stat.S_ISREG(status.st_mode):
        _copy_regular(found, into)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=found.directory), name, dir_fd=into)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=into)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=into, follow_symlinks=False)
    _copy_xattrs(xattr.place(found.directory, name), xattr.place(into, name))
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=into)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=into, follow_symlinks=False)


def _copy_regular(found: Found, into: int) -> None:
    origin = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.directory)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(found.name, flags, 0o600, dir_fd=into)
        try:
            copy_file(origin, made, found.status.st_size)
            copy_metadata(origin, made, found.status)
        finally:
            os.close(made)
    finally:
        os.close(origin)


def copy_metadata(origin: int, made: int, status: os.stat_result) -> None:
    """Owner, attributes, mode and times, in the order in which none undoes another."""
    os.fchown(made, status.st_uid, status.st_gid)
    _copy_xattrs(origin, made)
    os.fchmod(made, stat.S_IMODE(status.st_mode))
    os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_xattrs(origin: int | bytes, made: int | bytes) -> None:
    for name in xattr.names(origin):
        value = xattr.get(origin, name)
        if value is not None:
            xattr.set_value(made, name, value)
