"""Making one file, link or node in an open directory, with all its metadata.

Owner, then attributes, then mode, then times: the order in which none undoes another. Works on
descriptors, or on one name in a directory without following it; knows no layers and no paths.
"""

import os
import stat

from lamina.archive.entry import BLOCK, CHAR, FIFO, FILE, SYMLINK, Body, Entry
from lamina.errors import BadArchive
from lamina.fs.inroot import shown
from lamina.fs.tree import keep_xattr
from lamina.kernel import xattr
from lamina.kernel.namespaces import user_namespace

_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
NODES = {CHAR: stat.S_IFCHR, BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO}
_MAJORS, _MINORS = 1 << 12, 1 << 20  # include/linux/kdev_t.h


def write_file(directory: int, name: bytes, entry: Entry, body: Body) -> int:
    """Make the regular file `name` of the stored bytes in `body`; gives its inode.

    Raises FileExistsError before the body is touched.
    """
    made = open_new(directory, name, entry)
    try:
        if entry.sparse is not None:
            _write_sparse(made, entry, body)
        elif entry.size:
            _write(made, body, entry.size)
        return finish_file(made, entry)
    finally:
        os.close(made)


def open_new(directory: int, name: bytes, entry: Entry) -> int:
    """A new empty file to be filled, then finished; nobody else may read it before its owner."""
    mode = 0o600 if entry.xattrs else entry.mode & 0o777
    return os.open(name, _NEW, mode, dir_fd=directory)


def finish_file(made: int, entry: Entry) -> int:
    """Give a written file its metadata; gives its inode."""
    status = os.fstat(made)
    settle(made, entry, status)
    os.utime(made, ns=(entry.mtime_ns, entry.mtime_ns))
    return status.st_ino


def _write(descriptor: int, body: Body, size: int) -> None:
    while size:
        data = body.read(_CHUNK)
        if not data:
            return
        size -= len(data)
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, data[written:])


def _write_sparse(descriptor: int, entry: Entry, body: Body) -> None:
    assert entry.sparse is not None
    for offset, length in entry.sparse:
        os.lseek(descriptor, offset, os.SEEK_SET)
        left = length
        while left:
            data = body.read(min(_CHUNK, left))
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
    os.ftruncate(descriptor, entry.size)


def settle(target: int, entry: Entry, status: os.stat_result) -> None:
    """Owner, attributes and mode of an open file or directory, as far as `status` differs."""
    changed = False
    if status.st_uid != entry.uid or status.st_gid != entry.gid:
        os.fchown(target, entry.uid, entry.gid)
        changed = True
    if entry.xattrs:
        set_attributes(target, entry)
        changed = True  # an access ACL sets the mode, too
    if changed or status.st_mode & 0o7777 != entry.mode:
        os.fchmod(target, entry.mode)


def set_attributes(target: int | bytes, entry: Entry) -> None:
    """Set the attributes that a layer carries; an OSError says which one failed."""
    for key, value in entry.xattrs:
        if keep_xattr(key):
            try:
                xattr.set_value(target, key, value)
            except OSError as error:
                reason = f"{error.strerror} (setting the attribute {shown(key)})"
                raise OSError(error.errno, reason) from error


def make_symlink(directory: int, name: bytes, entry: Entry) -> None:
    """Make a symbolic link; raises FileExistsError."""
    if not entry.link:
        raise BadArchive("it is a symbolic link to nothing")
    os.symlink(entry.link, name, dir_fd=directory)
    _settle_name(directory, name, entry)


def make_node(directory: int, name: bytes, entry: Entry) -> None:
    """Make a device or a FIFO; raises FileExistsError. No device in a user namespace."""
    kind = NODES[entry.kind]
    try:
        os.mknod(name, kind | entry.mode & 0o777, os.makedev(*device_of(entry)), dir_fd=directory)
    except PermissionError:
        if kind == stat.S_IFIFO or not user_namespace():
            raise
        return  # as other engines do there: a runtime brings the devices that a container has
    _settle_name(directory, name, entry)


def device_of(entry: Entry) -> tuple[int, int]:
    """Major and minor number of a device (0, 0 for a FIFO); raises `BadArchive`."""
    if entry.kind == FIFO:
        return 0, 0
    if not (0 <= entry.devmajor < _MAJORS and 0 <= entry.devminor < _MINORS):
        raise BadArchive("its device number is out of range")
    if entry.kind == CHAR and entry.devmajor == entry.devminor == 0:
        raise BadArchive("a character device 0:0 would be taken for a whiteout")
    return entry.devmajor, entry.devminor


def _settle_name(directory: int, name: bytes, entry: Entry) -> None:
    """For what cannot be opened: everything by its name, and nothing of it follows a link."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if status.st_uid != entry.uid or status.st_gid != entry.gid:
        os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    if entry.xattrs:
        set_attributes(xattr.place(directory, name), entry)
    if entry.kind != SYMLINK and (status.st_mode & 0o7777 != entry.mode or entry.xattrs):
        _set_mode(directory, name, entry.mode)
    times = (entry.mtime_ns, entry.mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def _set_mode(directory: int, name: bytes, mode: int) -> None:
    place = os.open(name, _PLACE, dir_fd=directory)
    try:
        if not stat.S_ISLNK(os.fstat(place).st_mode):  # put there since, by somebody else
            os.chmod(xattr.place(place, b""), mode)
    finally:
        os.close(place)


def kind_of(status: os.stat_result) -> str:
    """The kind of member that a file which is no directory makes."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISLNK(mode):
        return SYMLINK
    if stat.S_ISCHR(mode):
        return CHAR
    return BLOCK if stat.S_ISBLK(mode) else FIFO
