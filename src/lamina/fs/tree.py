"""Reading a file tree without mounting it: one directory, or several stacked as overlayfs does.

Paths are bytes relative to the tree's root, without a leading slash; `b""` is the root. No call
follows a symbolic link, except `resolve`, which follows them inside the tree. Knows the forms
in which overlayfs keeps whiteouts; knows nothing of layers or of where the directories lie.

Does not protect against a tree that changes while it is read: committed layers do not.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from lamina.kernel import xattr

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_LIMIT = 40  # as the kernel's, path_resolution(7)
_CACHED = 128  # directories kept open at once by one tree

Xattrs = tuple[tuple[bytes, bytes], ...]

OPAQUE = (b"trusted.overlay.opaque", b"user.overlay.opaque")


class Links(Protocol):
    """What following symbolic links needs of a tree."""

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing."""

    def readlink(self, path: bytes) -> bytes:
        """The target of a symbolic link."""


class TreeView(Protocol):
    """A file tree that can be looked at."""

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing (or no directory on the way)."""

    def readlink(self, path: bytes) -> bytes:
        """The target of the symbolic link at `path`; raises OSError."""

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted; raises OSError."""

    def open(self, path: bytes) -> int:
        """A descriptor for reading the file at `path`; raises OSError."""

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes of `path` that a layer carries, sorted by name."""

    def locate(self, path: bytes) -> tuple[int, bytes] | None:
        """Where `path` really lies: a borrowed directory descriptor and a name in it."""

    def resolve(self, path: bytes, *, follow_last: bool) -> bytes:
        """`path` with every symbolic link on the way followed inside the tree.

        What does not exist stays as it is. Raises OSError(ELOOP).
        """

    def close(self) -> None:
        """Give up every descriptor."""


def keep_xattr(name: bytes) -> bool:
    """Whether a layer carries the attribute: all but the host's labels and overlayfs's own."""
    return not (
        name.startswith((b"trusted.overlay.", b"user.overlay.", b"system.nfs4_acl"))
        or name in (b"security.selinux", b"security.evm", b"security.ima")
    )


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs's mark of an absent name: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: int) -> bool:
    """Whether a directory hides what lies below it."""
    return any(xattr.get(directory, name) == b"y" for name in OPAQUE)


class StackedTree:
    """Directories united as overlayfs unites them, topmost first; takes over the descriptors.

    Keeps at most 128 directories of each stacked layer open at once.
    """

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._roots = tuple(descriptors)
        self._stacks: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()

    def _stack(self, path: bytes) -> tuple[int, ...]:
        """The directories that make up `path`, topmost first; none when it is no directory."""
        if not path:
            return self._roots
        known = self._stacks.get(path)
        if known is not None:
            self._stacks.move_to_end(path)
            return known
        parent, _, name = path.rpartition(b"/")
        found = _merge(self._stack(parent), name)
        self._stacks[path] = found
        while len(self._stacks) > _CACHED:
            _close(self._stacks.popitem(last=False)[1])
        return found

    def locate(self, path: bytes) -> tuple[int, bytes] | None:
        """Where `path` really lies: a borrowed directory descriptor and a name in it."""
        found = self._find(path)
        return (found[0], found[1]) if found is not None else None

    def _find(self, path: bytes) -> tuple[int, bytes, os.stat_result] | None:
        if not path:
            if not self._roots:
                return None
            return self._roots[0], b"", os.stat(self._roots[0])
        parent, _, name = path.rpartition(b"/")
        for directory in self._stack(parent):
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            return None if is_whiteout(status) else (directory, name, status)
        return None

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing (or no directory on the way)."""
        found = self._find(path)
        return found[2] if found is not None else None

    def _at(self, path: bytes) -> tuple[int, bytes]:
        found = self.locate(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        return found

    def readlink(self, path: bytes) -> bytes:
        """The target of the symbolic link at `path`; raises OSError."""
        directory, name = self._at(path)
        return os.readlink(name, dir_fd=directory)

    def open(self, path: bytes) -> int:
        """A descriptor for reading the file at `path`; raises OSError."""
        directory, name = self._at(path)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name or b".", flags, dir_fd=directory)

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes of `path` that a layer carries, sorted by name."""
        directory, name = self._at(path)
        return carried_xattrs(xattr.place(directory, name) if name else directory)

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted; raises OSError."""
        stack = self._stack(path)
        if not stack and path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
        if len(stack) == 1 and len(self._roots) == 1:
            return sorted(os.fsencode(name) for name in os.listdir(stack[0]))
        present: dict[bytes, bool] = {}
        for directory in stack:
            with os.scandir(directory) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if name not in present:
                        present[name] = not _hides(entry)
        return sorted(name for name, here in present.items() if here)

    def resolve(self, path: bytes, *, follow_last: bool) -> bytes:
        """`path` with every symbolic link on the way followed inside the tree."""
        return resolve(self, path, follow_last=follow_last)

    def close(self) -> None:
        """Give up every descriptor."""
        for stack in self._stacks.values():
            _close(stack)
        self._stacks.clear()
        _close(self._roots)
        self._roots = ()


class FlatTree(StackedTree):
    """One directory as it is: a character device 0:0 in it is just that."""

    def __init__(self, descriptor: int) -> None:
        super().__init__((descriptor,))

    def _find(self, path: bytes) -> tuple[int, bytes, os.stat_result] | None:
        parent, _, name = path.rpartition(b"/")
        for directory in self._stack(parent):
            try:
                status = (
                    os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if name
                    else os.stat(directory)
                )
            except (FileNotFoundError, NotADirectoryError):
                return None
            return directory, name, status
        return None


def _hides(entry: os.DirEntry[str]) -> bool:
    return (
        not entry.is_dir(follow_symlinks=False)
        and not entry.is_file(follow_symlinks=False)
        and not entry.is_symlink()
        and is_whiteout(entry.stat(follow_symlinks=False))
    )


def _merge(stack: tuple[int, ...], name: bytes) -> tuple[int, ...]:
    """Open `name` in each directory of `stack`, down to the first that hides the rest."""
    found: list[int] = []
    for directory in stack:
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            continue
        except (NotADirectoryError, OSError) as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                break  # a file, a link or a whiteout hides the directories below
            _close(tuple(found))
            raise
        found.append(descriptor)
        if len(stack) > 1 and is_opaque(descriptor):
            break
    return tuple(found)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def carried_xattrs(target: int | bytes) -> Xattrs:
    """The attributes of an open file or of a path (a link's own) that a layer carries."""
    pairs = []
    for name in xattr.names(target):
        if keep_xattr(name):
            value = xattr.get(target, name)
            if value is not None:
                pairs.append((name, value))
    return tuple(pairs)


def resolve(tree: Links, path: bytes, *, follow_last: bool) -> bytes:
    """Follow the symbolic links of `path` inside `tree`; `..` never climbs above its root."""
    waiting = [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
    done: list[bytes] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part == b"..":
            del done[-1:]
            continue
        done.append(part)
        if not waiting and not follow_last:
            break
        status = tree.lstat(b"/".join(done))
        if status is None or not stat.S_ISLNK(status.st_mode):
            continue
        links += 1
        if links > _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        target = tree.readlink(b"/".join(done))
        done = [] if target.startswith(b"/") else done[:-1]
        waiting += [each for each in target.split(b"/") if each not in (b"", b".")][::-1]
    return b"/".join(done)
