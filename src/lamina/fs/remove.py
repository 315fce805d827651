"""Removing trees thoroughly: by descriptor, however deep, protected or half made they are."""

import errno
import os
import stat

from lamina.errors import StorageError, from_oserror
from lamina.kernel.ioctl import clear_protection

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_into(path: str, trash: str) -> None:
    """Rename `path` into the directory `trash`, then erase it there; nothing when it is gone.

    A kill between leaves something in `trash`, which the next removal's owner may erase.
    Raises `StorageError`.
    """
    target = os.path.join(trash, f"{os.path.basename(path)}.{os.urandom(4).hex()}")
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise from_oserror(error, "removing", path) from error
        target = path
    remove_tree(target)


def remove_tree(path: str) -> None:
    """Erase `path` and all below it, never following a link or entering a mount.

    Raises `StorageError`.
    """
    parent = os.open(os.path.dirname(path) or ".", _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        status = os.stat(os.path.basename(path), dir_fd=parent, follow_symlinks=False)
        _erase(parent, os.fsencode(os.path.basename(path)), status.st_dev)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_oserror(error, "removing", path) from error
    finally:
        os.close(parent)


def _erase(parent: int, name: bytes, device: int) -> None:
    """Depth first, with a list in place of recursion; each level keeps one descriptor."""
    if not _unlink(parent, name):
        return
    levels = [(parent, name, _enter(parent, name, device))]
    try:
        while levels:
            above, own_name, directory = levels[-1]
            child = _empty(directory)
            if child is None:
                levels.pop()
                os.close(directory)
                os.rmdir(own_name, dir_fd=above)
            else:
                levels.append((directory, child, _enter(directory, child, device)))
    finally:
        for _, _, directory in levels:
            os.close(directory)


def _empty(directory: int) -> bytes | None:
    """Unlink what is no directory; gives the first directory that is in the way."""
    with os.scandir(directory) as entries:
        names = [(os.fsencode(each.name), each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_directory in names:
        if is_directory:
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError:
                return name
        elif _unlink(directory, name):
            return name
    return None


def _unlink(directory: int, name: bytes) -> bool:
    """Unlink `name`; True when it is a directory and must be emptied first."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return True
    except PermissionError:
        return _unlink_protected(directory, name)
    return False


def _unlink_protected(directory: int, name: bytes) -> bool:
    """Take immutable flags off the directory and the entry, then unlink."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    changed = clear_protection(directory)
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            changed |= clear_protection(descriptor)
        finally:
            os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        return True
    if not changed:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), os.fsdecode(name))
    os.unlink(name, dir_fd=directory)
    return False


def _enter(directory: int, name: bytes, device: int) -> int:
    child = os.open(name, _DIRECTORY, dir_fd=directory)
    if os.fstat(child).st_dev != device:
        os.close(child)
        raise StorageError(
            f"{os.fsdecode(name)} has another file system mounted on it", hint="unmount it first"
        )
    try:
        clear_protection(child)
    except OSError:
        pass  # a file system without flags has nothing to take off
    return child
