"""Opening paths that came from outside: always beneath one directory, by descriptor.

The only module that turns an untrusted path into something openable. Links on the way are
resolved inside the root (`lib -> /usr/lib`, then `lib/x`, is honest); nothing outside is ever
reached, whatever races: the kernel walks (openat2(2), Linux 5.6), or this module does, one name
after the other. Does not protect against a privileged process that renames the root itself.
"""

import errno
import os
import stat
from typing import Self

from lamina.errors import BadArchive
from lamina.fs.tree import LINK_LIMIT, resolve
from lamina.kernel.openat import IN_ROOT, openat2
from lamina.values.closing import Closing

_LENGTH = 1 << 16  # bytes of a whole path: some thousand levels, more than anything is made for
_COMPONENT = 255  # bytes, NAME_MAX of every file system Lamina stores on
# no such call, a seccomp filter that does not know it, a path longer than one call takes
_BY_STEPS = (errno.ENOSYS, errno.EPERM, errno.ENAMETOOLONG)
_MAY_BE_A_LINK = (errno.ELOOP, errno.ENOTDIR)  # the second where a directory is asked for
_NO_NAMES = (b"", b".", b"..")


def clean(name: bytes) -> bytes:
    """A member's name as a path below the root: no leading slash, no `.`, no `x/..`.

    Raises `BadArchive` for a name that climbs above the root, holds NUL, has a component of
    more than 255 bytes or more than 65,536 in all.
    """
    if b"\0" in name:
        raise BadArchive(f"the name {shown(name)} holds a NUL byte")
    plain = name.removeprefix(b"./").removesuffix(b"/")
    rooted = b"/" + plain
    if plain and len(plain) <= _COMPONENT and b"//" not in rooted and b"/." not in rooted:
        return plain  # nearly every name there is
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not parts:
                raise BadArchive(f"the name {shown(name)} climbs above the root")
            parts.pop()
            continue
        if len(part) > _COMPONENT:
            raise BadArchive(f"the name {shown(name)} has a component of over 255 bytes")
        parts.append(part)
    path = b"/".join(parts)
    if len(path) > _LENGTH:
        raise BadArchive(f"the name {shown(name)} has over {_LENGTH} bytes")
    return path


def shown(name: bytes) -> str:
    """A name as it may stand in a message: quoted, without control characters, cut at 200."""
    return repr(name[:200].decode("utf-8", "backslashreplace"))


class Root(Closing):
    """A directory as the root of all paths; takes over the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor

    @classmethod
    def at(cls, path: str | bytes) -> Self:
        """The directory at a trusted `path`."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """Open `path`, links resolved inside the root; raises OSError."""
        descriptor = _open_entry(self.fd, path or b".", flags, mode)
        if descriptor is not None:
            return descriptor
        try:
            return openat2(self.fd, path, flags, mode, IN_ROOT)
        except OSError as error:
            if error.errno not in _BY_STEPS:
                raise
        return open_by_steps(self.fd, path, flags, mode)

    def open_file(self, path: bytes, limit: int) -> bytes:
        """The bytes of a regular file, links resolved inside; at most `limit` of them.

        Raises OSError when it is missing, no regular file or larger: a FIFO or a device does
        not hang or feed the reader.
        """
        descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(path))
            if status.st_size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fsdecode(path))
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The opened directory that holds `path` (the caller closes it) and the last name.

        The name is one: for the root, and for a path that ends in `..`, OSError(EINVAL).
        """
        folder, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in _NO_NAMES:
            raise OSError(errno.EINVAL, "the path ends in no name", os.fsdecode(path))
        return self.open(folder, os.O_RDONLY | os.O_DIRECTORY), name

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`, its last part not followed; None when there is nothing.

        As everywhere, a path that ends in a slash names what a link leads to.
        """
        try:
            descriptor = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`; raises OSError."""
        directory, name = self.parent(path)
        try:
            return os.readlink(name, dir_fd=directory)
        finally:
            os.close(directory)

    def makedirs(self, path: bytes, mode: int = 0o755, uid: int = 0, gid: int = 0) -> list[bytes]:
        """Make every missing directory of `path`; gives the paths of those made, links resolved.

        A link on the way is followed inside the root, also one that leads to nothing yet.
        Raises OSError.
        """
        made = []
        parts = resolve(self, path, follow_last=True).split(b"/")
        for end in range(1, len(parts) + 1):
            folder = b"/".join(parts[:end])
            try:
                os.close(self.open(folder, os.O_PATH | os.O_DIRECTORY))
            except FileNotFoundError:
                self._make(folder, mode, uid, gid)
                made.append(folder)
        return made

    def _make(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        directory, name = self.parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(name, flags, dir_fd=directory)
            try:
                os.fchown(made, uid, gid)
                os.fchmod(made, mode)
            finally:
                os.close(made)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Close the root."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_entry(root: int, name: bytes, flags: int, mode: int) -> int | None:
    """Open what lies in the root itself; None for a longer path, and for a link to be followed.

    That takes no walk, and so no call that needs ctypes, which takes 4 ms to load.
    """
    follows = not flags & os.O_NOFOLLOW
    if b"/" in name or b"\0" in name or name == b".." or (follows and flags & os.O_PATH):
        return None
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=root)
    except OSError as error:
        if follows and error.errno in _MAY_BE_A_LINK:
            return None
        raise OSError(error.errno, os.strerror(error.errno or 0), os.fsdecode(name)) from None


def open_by_steps(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open `path` beneath `root` as openat2(2) with RESOLVE_IN_ROOT does, without that call.

    Every name is opened on its own and never followed; a link's text is read and walked from
    the root or from where it lies. Raises OSError.
    """
    if b"\0" in path:
        raise OSError(errno.EINVAL, "the path holds a NUL byte", os.fsdecode(path))
    steps = _Steps(root, path)
    try:
        while steps.waiting:
            name = steps.waiting.pop()
            if name == b"..":
                steps.climb()
            elif steps.waiting:
                steps.enter(name)
            elif flags & os.O_NOFOLLOW or flags & os.O_EXCL or not steps.follow(name):
                return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=steps.here)
        return os.open(b".", flags | os.O_CLOEXEC, mode, dir_fd=steps.here)
    finally:
        os.close(steps.here)


class _Steps:
    """Where a walk beneath a root has come to: the real names so far, and one descriptor."""

    def __init__(self, root: int, path: bytes) -> None:
        self._root = root
        self._path = path
        self._links = 0
        self._done: list[bytes] = []
        self.waiting = _names(path)
        self.here = os.open(b".", _STEP, dir_fd=root)

    def enter(self, name: bytes) -> None:
        """Go into a directory, or where a link leads."""
        if name == b".":
            return
        if not self.follow(name):
            self._go(os.open(name, _STEP, dir_fd=self.here))
            self._done.append(name)

    def climb(self) -> None:
        """Go up, but not above the root: down again by real names, as `..` could be moved."""
        del self._done[-1:]
        self._restart()
        for name in self._done:
            self._go(os.open(name, _STEP, dir_fd=self.here))

    def follow(self, name: bytes) -> bool:
        """Walk what the link `name` says; False when it is no link."""
        try:
            target = os.readlink(name, dir_fd=self.here)
        except OSError:
            return False  # nothing or no link: opening it says what
        self._links += 1
        if self._links > LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(self._path))
        if target.startswith(b"/"):
            self._done.clear()
            self._restart()
        self.waiting += _names(target)
        return True

    def _restart(self) -> None:
        self._go(os.open(b".", _STEP, dir_fd=self._root))

    def _go(self, descriptor: int) -> None:
        os.close(self.here)
        self.here = descriptor


_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _names(path: bytes) -> list[bytes]:
    """The steps of a path, last first; a slash at its end is one more step, to `.`."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if path.endswith((b"/", b"/.")) or path == b".":
        names.append(b".")
    return names[::-1]
