"""Opening paths that came from outside: always beneath one directory, by descriptor.

The only module that turns an untrusted path into something openable. Links on the way are
resolved inside the root (`lib -> /usr/lib`, then `lib/x`, is honest); nothing outside is ever
reached, whatever races. Does not protect against a privileged process that renames the root
itself.
"""

import os
import stat
from types import TracebackType
from typing import Self

from lamina.errors import BadArchive
from lamina.kernel import xattr
from lamina.kernel.openat import IN_ROOT, openat2

_COMPONENT = 255  # bytes, NAME_MAX of every file system Lamina stores on


def clean(name: bytes) -> bytes:
    """A member's name as a path below the root: no leading slash, no `.`, no `x/..`.

    Raises `BadArchive` for a name that climbs above the root, holds NUL or has a component of
    more than 255 bytes.
    """
    if b"\0" in name:
        raise BadArchive(f"the name {shown(name)} holds a NUL byte")
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
    return b"/".join(parts)


def shown(name: bytes) -> str:
    """A name as it may stand in a message: quoted, without control characters, cut at 200."""
    return repr(name[:200].decode("utf-8", "backslashreplace"))


class Root:
    """A directory as the root of all paths; takes over the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor

    @classmethod
    def at(cls, path: str | bytes) -> Self:
        """The directory at a trusted `path`."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """Open `path`, links resolved inside the root; raises OSError."""
        return openat2(self.fd, path, flags, mode, IN_ROOT)

    def open_file(self, path: bytes, limit: int) -> bytes:
        """The bytes of a regular file, links resolved inside; at most `limit` of them.

        Raises OSError when it is missing, no regular file or larger: a FIFO or a device does
        not hang or feed the reader.
        """
        descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(22, "not a regular file", os.fsdecode(path))
            if status.st_size > limit:
                raise OSError(27, f"larger than {limit} bytes", os.fsdecode(path))
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The opened directory that holds `path` (the caller closes it) and the last name."""
        folder, _, name = path.rstrip(b"/").rpartition(b"/")
        return self.open(folder, os.O_RDONLY | os.O_DIRECTORY), name

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`, its last part not followed; None when there is nothing."""
        try:
            if not path.strip(b"/"):
                return os.stat(self.fd)
            directory, name = self.parent(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        finally:
            os.close(directory)

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`; raises OSError."""
        directory, name = self.parent(path)
        try:
            return os.readlink(name, dir_fd=directory)
        finally:
            os.close(directory)

    def makedirs(self, path: bytes, mode: int = 0o755, uid: int = 0, gid: int = 0) -> list[bytes]:
        """Make every missing directory of `path`, links followed inside; gives what was made."""
        made = []
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        for end in range(1, len(parts) + 1):
            folder = b"/".join(parts[:end])
            try:
                os.close(self.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            except FileNotFoundError:
                self._make(folder, mode, uid, gid)
                made.append(folder)
        return made

    def _make(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        directory, name = self.parent(path)
        try:
            os.mkdir(name, mode, dir_fd=directory)
            here = xattr.place(directory, name)
            os.chown(here, uid, gid, follow_symlinks=False)
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            try:
                os.fchmod(child, mode)
            finally:
                os.close(child)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Close the root."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
