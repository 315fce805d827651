"""Copying file contents and whole trees: shared blocks where possible, nothing lost.

FICLONE, else copy_file_range, else read and write; holes stay holes. Knows trees, not layers.
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.fs.atomic import write_all
from lamina.fs.descent import Descent, is_long, open_folder
from lamina.fs.tree import Xattrs, carried_xattrs
from lamina.fs.walk import Found, walk
from lamina.kernel import xattr
from lamina.kernel.ioctl import ficlone

_CHUNK = 1 << 20  # bytes read at once
_INHERITED = (b"system.posix_acl_access", b"system.posix_acl_default")
_REFUSED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY)


def copy_file(source: int, target: int, size: int) -> None:
    """Let the empty file `target` hold the first `size` bytes of `source`; raises OSError."""
    if size == 0:
        return
    try:
        ficlone(target, source)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        copy_data(source, target, 0, size)
    os.ftruncate(target, size)


def copy_data(source: int, target: int, base: int, size: int) -> None:
    """Copy the first `size` bytes of `source` to offset `base` of `target`, leaving out holes.

    `target` has holes there itself. Raises OSError.
    """
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole follows
            start = at
        end = min(_end_of_data(source, start, size), size)
        copy_range(source, start, target, base + start, end - start)
        at = end


def _end_of_data(source: int, start: int, size: int) -> int:
    try:
        return os.lseek(source, start, os.SEEK_HOLE)
    except OSError:
        return size


def copy_range(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    """Copy `length` bytes between two files at the given offsets; raises OSError.

    Stops early, without an error, where the source ends.
    """
    while length > 0:
        try:
            moved = os.copy_file_range(source, target, length, source_at, target_at)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            moved = 0
        if moved == 0:  # at the end, or a file that only pretends to have none (/proc)
            _copy_by_hand(source, source_at, target, target_at, length)
            return
        source_at, target_at, length = source_at + moved, target_at + moved, length - moved


def _copy_by_hand(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    """By read and write, which are no slower than sendfile(2) and refused for no file."""
    os.lseek(target, target_at, os.SEEK_SET)
    while length > 0:
        data = os.pread(source, min(_CHUNK, length), source_at)
        if not data:
            return
        write_all(target, data)
        source_at, length = source_at + len(data), length - len(data)


def copy_tree(source: int, target: int, marks: tuple[bytes, ...] = ()) -> None:
    """Copy all below the directory `source` into the empty directory `target`, and its own
    metadata: modes, owners, times in nanoseconds, the attributes that a layer carries, holes,
    hard links, devices and FIFOs. Sockets are left out. Raises OSError.

    `marks` are attributes of directories that are copied besides.
    """
    for name in _INHERITED:  # from where it was made; what is made below would go on inheriting
        xattr.remove(target, name)
    own = _metadata(source, os.fstat(source), marks)
    copier = _TreeCopier(target, marks)
    try:
        for found in walk(source):
            copier.copy(found)
        copier.finish()
    finally:
        copier.close()
    _set_metadata(target, own)


class _Metadata(NamedTuple):
    status: os.stat_result
    xattrs: Xattrs


def _metadata(origin: int, status: os.stat_result, marks: tuple[bytes, ...] = ()) -> _Metadata:
    found = carried_xattrs(origin)
    for name in marks:
        value = xattr.get(origin, name)
        if value is not None:
            found = (*found, (name, value))
    return _Metadata(status, found)


def _set_metadata(made: int, metadata: _Metadata) -> None:
    """Owner, attributes, mode and times, in the order in which none undoes another."""
    status = metadata.status
    os.fchown(made, status.st_uid, status.st_gid)
    for name, value in metadata.xattrs:
        xattr.set_value(made, name, value)
    os.fchmod(made, stat.S_IMODE(status.st_mode))
    os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))


class _TreeCopier:
    """Follows a walk on the target's side; a directory gets its metadata when it is left."""

    def __init__(self, target: int, marks: tuple[bytes, ...]) -> None:
        self._target = target
        self._marks = marks
        self._descent = Descent(target)
        self._folders: list[tuple[bytes, _Metadata]] = []
        self._links: dict[tuple[int, int], bytes] = {}

    def copy(self, found: Found) -> None:
        folder = found.path[: len(found.path) - len(found.name)]
        while self._folders and self._folders[-1][0] != folder:
            self._leave()
        mode = found.status.st_mode
        if stat.S_ISDIR(mode):
            self._enter(found)
        elif not stat.S_ISSOCK(mode) and not self._linked(found):
            _copy_entry(found, self._descent.here)

    def _enter(self, found: Found) -> None:
        origin = open_folder(found.directory, found.name)
        try:
            metadata = _metadata(origin, found.status, self._marks)
        finally:
            os.close(origin)
        os.mkdir(found.name, 0o700, dir_fd=self._descent.here)
        self._descent.enter(found.name)
        self._folders.append((found.path + b"/", metadata))

    def _leave(self) -> None:
        _, metadata = self._folders.pop()
        _set_metadata(self._descent.here, metadata)
        self._descent.leave()

    def _linked(self, found: Found) -> bool:
        """Link to the copy that another name of the same file already has."""
        if found.status.st_nlink < 2:
            return False
        identity = (found.status.st_dev, found.status.st_ino)
        first = self._links.setdefault(identity, found.path)
        if first == found.path:
            return False
        try:
            self._link(first, found.name)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self._links[identity] = found.path  # the target holds fewer links to one file
            return False
        return True

    def _link(self, first: bytes, name: bytes) -> None:
        here = self._descent.here
        if not is_long(first):
            os.link(first, name, src_dir_fd=self._target, dst_dir_fd=here, follow_symlinks=False)
            return
        folder, _, origin = first.rpartition(b"/")
        source = open_folder(self._target, folder)
        try:
            os.link(origin, name, src_dir_fd=source, dst_dir_fd=here, follow_symlinks=False)
        finally:
            os.close(source)

    def finish(self) -> None:
        """Leave every directory."""
        while self._folders:
            self._leave()

    def close(self) -> None:
        """Give up every descriptor."""
        self._descent.close()


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
    for key, value in carried_xattrs(xattr.place(found.directory, name)):
        xattr.set_value(xattr.place(into, name), key, value)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=into)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=into, follow_symlinks=False)


def _copy_regular(found: Found, into: int) -> None:
    status = found.status
    origin = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.directory)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(found.name, flags, 0o600, dir_fd=into)
        try:
            copy_file(origin, made, status.st_size)
            _set_metadata(made, _metadata(origin, status))
        finally:
            os.close(made)
    finally:
        os.close(origin)
