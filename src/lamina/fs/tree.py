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

from lamina.fs.marks import KERNEL, PREFIX, Marks, is_whiteout
from lamina.kernel import xattr

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LINK_LIMIT = 40  # as the kernel's, path_resolution(7)
_KNOWN = 1024  # directories remembered at once, those that are not there included
_NO_NAMES = (b"..", b".", b"")  # in no path of a tree: `..` would lead out of it
_READABLE = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)  # opening a link says ELOOP

Xattrs = tuple[tuple[bytes, bytes], ...]

_NOT_CARRIED = (
    b"trusted.overlay.",
    b"user.overlay.",
    b"user.fuseoverlayfs.",
    b"user.containers.override_stat",
    b"system.nfs4_acl",
)


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
        name.startswith(_NOT_CARRIED)
        or name in (b"security.selinux", b"security.evm", b"security.ima")
    )


class StackedTree:
    """Directories united as overlayfs unites them, topmost first; takes over the descriptors.

    `marks` is how this union's maker marks what is hidden: other marks may be set by anybody in a
    container and mean nothing here. Beside the layers' own roots at most 128 directories are open
    at once (more only while one directory alone lies in more layers). Not for several threads at
    once.
    """

    _united = True
    _most = 128  # descriptors kept beside the roots; a process with many threads has 1,024

    def __init__(self, descriptors: Iterable[int], *, marks: Marks = KERNEL) -> None:
        self._roots = tuple(descriptors)
        self._marks = marks
        self._stacks: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._open = 0

    def _stack(self, path: bytes) -> tuple[int, ...]:
        """The directories that make up `path`, topmost first; none when it is no directory."""
        if not path:
            return self._roots
        known = self._stacks.get(path)
        if known is not None:
            self._stacks.move_to_end(path)
            return known
        try:
            return self._merged(path)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
        self._forget()
        stack = self._by_layers(path)
        self._remember(path, stack)
        return stack

    def _merged(self, path: bytes) -> tuple[int, ...]:
        """By way of the directories above, which are remembered for the next question."""
        missing: list[bytes] = []
        while path and path not in self._stacks:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        stack = self._stacks[path] if path else self._roots
        for path in reversed(missing):
            stack = self._merge(stack, path.rpartition(b"/")[2])
            self._remember(path, stack)
        return stack

    def _by_layers(self, path: bytes) -> tuple[int, ...]:
        """Layer by layer, for a process that may hardly open more than the answer."""
        found: list[int] = []
        try:
            for root in self._roots:
                descriptor, is_last = self._walk(root, path.split(b"/"))
                if descriptor is not None:
                    found.append(descriptor)
                if is_last:
                    break
        except BaseException:
            _close(found)
            raise
        return tuple(found)

    def _walk(self, root: int, parts: list[bytes]) -> tuple[int | None, bool]:
        """What one layer has at the path, and whether it hides the layers below there."""
        here, is_last = os.dup(root), False
        for name in parts:
            try:
                inner = self._enter_marked(here, name)
            finally:
                os.close(here)
            if inner is None or inner < 0:
                return None, is_last or inner is not None
            here = inner
            is_last = is_last or self._hides_below(here)
        return here, is_last

    def _enter_marked(self, directory: int, name: bytes) -> int | None:
        """Open the directory `name`; None when there is nothing, -1 for what hides the below."""
        if name in _NO_NAMES or self._marks.is_mark(name):
            return -1
        inner = _enter(directory, name)
        return -1 if inner is None and self._marks.hides(directory, name) else inner

    def _remember(self, path: bytes, stack: tuple[int, ...]) -> None:
        self._stacks[path] = stack
        self._open += len(stack)
        while len(self._stacks) > 1 and (self._open > self._most or len(self._stacks) > _KNOWN):
            oldest = self._stacks.popitem(last=False)[1]
            self._open -= len(oldest)
            _close(oldest)

    def _forget(self) -> None:
        for stack in self._stacks.values():
            _close(stack)
        self._stacks.clear()
        self._open = 0

    def _merge(self, stack: tuple[int, ...], name: bytes) -> tuple[int, ...]:
        """Open `name` in each directory of `stack`, down to the first that hides the rest."""
        found: list[int] = []
        try:
            for directory in stack:
                descriptor = self._enter_marked(directory, name)
                if descriptor is None:
                    continue
                if descriptor < 0:
                    break  # a file, a link or a whiteout hides the directories below
                found.append(descriptor)
                if len(stack) > 1 and self._hides_below(descriptor):
                    break
        except OSError:
            _close(found)
            raise
        return tuple(found)

    def _hides_below(self, directory: int) -> bool:
        return self._marks.is_opaque(directory) or self._marks.has_opaque_file(directory)

    def locate(self, path: bytes) -> tuple[int, bytes] | None:
        """Where `path` really lies: a directory and a name in it (b"" for the root itself).

        The descriptor is borrowed: it may be closed by the next call.
        """
        found = self._find(path)
        return (found[0], found[1]) if found is not None else None

    def _find(self, path: bytes) -> tuple[int, bytes, os.stat_result] | None:
        if not path:
            return (self._roots[0], b"", os.stat(self._roots[0])) if self._roots else None
        parent, _, name = path.rpartition(b"/")
        if name in _NO_NAMES or (self._united and self._marks.is_mark(name)):
            return None
        for directory in self._stack(parent):
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                if self._marks.hides(directory, name):
                    return None
                continue
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return None
                raise
            except ValueError:
                return None  # a NUL byte is in no name
            if self._united and is_whiteout(status):
                return None
            return directory, name, status
        return None

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing (or no directory on the way)."""
        found = self._find(path)
        return found[2] if found is not None else None

    def _at(self, path: bytes) -> tuple[int, bytes, os.stat_result]:
        found = self._find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        return found

    def readlink(self, path: bytes) -> bytes:
        """The target of the symbolic link at `path`; raises OSError."""
        directory, name, _ = self._at(path)
        return os.readlink(name, dir_fd=directory)

    def open(self, path: bytes) -> int:
        """A descriptor for reading the file or directory at `path`; raises OSError.

        A device or a FIFO is not opened: that alone may do something, or never return.
        """
        directory, name, status = self._at(path)
        if stat.S_IFMT(status.st_mode) not in _READABLE:
            raise OSError(errno.EINVAL, "neither a file nor a directory", os.fsdecode(path))
        return os.open(name or b".", READING, dir_fd=directory)

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes of `path` that a layer carries, sorted by name."""
        directory, name, _ = self._at(path)
        return carried_xattrs(xattr.place(directory, name) if name else directory)

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted; raises OSError."""
        stack = self._stack(path)
        if not stack and path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
        if not self._united:
            return sorted(map(os.fsencode, os.listdir(stack[0])))
        present: dict[str, bool] = {}
        for directory in stack:
            hidden: set[str] = set()
            with os.scandir(directory) as entries:
                for entry in entries:
                    if self._marks.is_mark(os.fsencode(entry.name)):
                        hidden.add(entry.name[len(PREFIX) :])
                    elif entry.name not in present:
                        present[entry.name] = not _hides(entry)
            for name in hidden:
                present.setdefault(name, False)
        return sorted(os.fsencode(name) for name, here in present.items() if here)

    def resolve(self, path: bytes, *, follow_last: bool) -> bytes:
        """`path` with every symbolic link on the way followed inside the tree."""
        return resolve(self, path, follow_last=follow_last)

    def close(self) -> None:
        """Give up every descriptor."""
        self._forget()
        _close(self._roots)
        self._roots = ()


class FlatTree(StackedTree):
    """One directory as it is: a character device 0:0 in it is just that."""

    _united = False
    _most = 32  # enough for a walk: each directory is but one

    def __init__(self, descriptor: int) -> None:
        super().__init__((descriptor,))

    def folder(self, path: bytes) -> int:
        """The directory at `path`, borrowed as `locate` has it; raises OSError."""
        stack = self._stack(path)
        if not stack:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
        return stack[0]


def _hides(entry: os.DirEntry[str]) -> bool:
    return (
        not entry.is_dir(follow_symlinks=False)
        and not entry.is_file(follow_symlinks=False)
        and not entry.is_symlink()
        and is_whiteout(entry.stat(follow_symlinks=False))
    )


def _enter(directory: int, name: bytes) -> int | None:
    """Open the directory `name`; None when there is nothing, -1 when it is something else."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return None
    except ValueError:
        return None  # a NUL byte is in no name
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return -1
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


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
        if links > LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        target = tree.readlink(b"/".join(done))
        done = [] if target.startswith(b"/") else done[:-1]
        waiting += [each for each in target.split(b"/") if each not in (b"", b".")][::-1]
    return b"/".join(done)
