"""Removing trees thoroughly: by descriptor, however deep, protected or half made they are.

Never follows a link and never enters a mount, whatever is mounted there: that is an error, and
what is mounted stays as it is. A btrfs subvolume is removed like the directory it looks like.
"""

import errno
import os
import stat
from collections.abc import Callable

from lamina.errors import StorageError, from_oserror
from lamina.fs.descent import Descent
from lamina.kernel.ioctl import clear_protection

_SUBVOLUME = 256  # the inode of the root of every btrfs subvolume
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


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
    """Erase `path` and all below it; nothing when it is gone. Raises `StorageError`."""
    folder, name = os.path.split(path.rstrip("/"))
    try:
        parent = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_oserror(error, "removing", path) from error
    try:
        _Eraser(parent, folder).erase(name)
    except OSError as error:
        raise from_oserror(error, "removing", path) from error
    finally:
        os.close(parent)


class _Eraser:
    """Depth first, with a list in place of recursion, each directory read once."""

    def __init__(self, parent: int, folder: str) -> None:
        self._descent = Descent(parent)
        self._folder = folder
        self._waiting: list[tuple[str, list[str]]] = []  # a directory, those in it with content

    def erase(self, name: str) -> None:
        try:
            if _is_directory(self._descent.here, name):
                self._erase_directory(name)
            else:
                self._unlink(name)
        finally:
            self._descent.close()

    def _erase_directory(self, name: str) -> None:
        if self._rmdir(name):
            return
        self._enter(name)
        while self._waiting:
            name, full = self._waiting[-1]
            if full:
                self._enter(full.pop())
                continue
            self._waiting.pop()
            self._descent.leave()
            if not self._rmdir(name):
                raise OSError(errno.ENOTEMPTY, "something is still being written there", name)

    def _enter(self, name: str) -> None:
        """Go into a directory and take away all that is not itself a directory with content."""
        self._allowed(self._descent.enter, name)
        _open_subvolume(self._descent.here)
        with os.scandir(self._descent.here) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        full: list[str] = []
        self._waiting.append((name, full))
        for child, is_directory in found:
            if not is_directory:
                self._unlink(child)
            elif not self._rmdir(child):
                full.append(child)

    def _unlink(self, name: str) -> None:
        here = self._descent.here
        self._away(lambda name: os.unlink(name, dir_fd=here), name)

    def _rmdir(self, name: str) -> bool:
        """Remove a directory; False when there is something in it.

        The kernel answers EBUSY for a place where something is mounted, empty or not, so no
        directory is entered that this did not let through.
        """
        here = self._descent.here
        try:
            self._away(lambda name: os.rmdir(name, dir_fd=here), name)
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            raise
        return True

    def _away(self, call: Callable[[str], None], name: str) -> None:
        try:
            self._allowed(call, name)
        except FileNotFoundError:
            return  # another removal was here
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            where = os.path.join(self._folder, *(folder for folder, _ in self._waiting), name)
            raise StorageError(
                f"not removing {where}: {error.strerror}, something is mounted there",
                hint="unmount it first",
            ) from error

    def _allowed(self, call: Callable[[str], object], name: str) -> None:
        """Do it; where that is forbidden, do it again without what forbids it."""
        try:
            call(name)
        except PermissionError:
            _unlock(self._descent.here, name, inside=self._descent.depth > 0)
            call(name)


def _open_subvolume(directory: int) -> None:
    """Let a read-only btrfs subvolume be changed, where this is the root of one."""
    if os.fstat(directory).st_ino == _SUBVOLUME:
        from lamina.kernel import btrfs

        try:
            btrfs.set_readonly(directory, False)
        except OSError:
            pass  # another file system's directory with that number, or what follows says why


def _is_directory(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _unlock(directory: int, name: str, *, inside: bool) -> None:
    """Take off what forbids removing `name`: immutable flags, and modes that shut us out.

    The directory that holds it is changed only where it is itself to be removed (`inside`).
    """
    if inside:
        _unprotect(directory)
    try:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return  # the second try says what is wrong
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            _unprotect(descriptor)
    finally:
        os.close(descriptor)


def _unprotect(descriptor: int) -> None:
    """Clear flags and open the mode of a file or directory that may be open by O_PATH alone."""
    place = f"/proc/self/fd/{descriptor}"
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.chmod(place, 0o700)
    except OSError:
        pass  # immutable still, or another's: the flags come next, then the second try
    try:
        opened = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        clear_protection(opened)
    except OSError:
        pass  # a file system without flags has nothing to take off
    finally:
        os.close(opened)
