"""The files of an archive or a directory, read by name only; nothing is ever extracted.

A member is found by the exact name it is stored under, symbolic links between members (docker's
old way to share a layer) are followed by name, and what is no regular file does not exist.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from lamina.archive.entry import FILE, HARDLINK, SYMLINK, Entry
from lamina.archive.reader import read
from lamina.errors import BadArchive
from lamina.fs.inroot import Root, clean, shown
from lamina.fs.reading import DescriptorStream
from lamina.images.api import ByteStream

_LINKS = 8
_MEMBERS_LIMIT = 100_000
_NAMES_LIMIT = 32 << 20  # bytes of their names and links, which are kept in memory


class Members(Protocol):
    """Files by name."""

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""

    def small(self, name: str, limit: int) -> bytes:
        """A file whole; raises `BadArchive` when it is missing or larger than `limit` bytes."""

    def open(self, name: str) -> AbstractContextManager[ByteStream]:
        """A file as a stream; raises `BadArchive` when it is missing."""

    def folders(self) -> list[str]:
        """The names of the folders at the top that hold something, sorted."""


class _Slice:
    """Part of an open file as a stream."""

    def __init__(self, descriptor: int, at: int, size: int) -> None:
        self._fd = descriptor
        self._at = at
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._fd, min(size, self._left), self._at)
        self._at += len(data)
        self._left -= len(data)
        return data

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class TarMembers:
    """The members of an uncompressed tar file, indexed once; takes over the descriptor.

    Of two members with one name the later one counts, as for who unpacks it.
    """

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._found: dict[bytes, tuple[int, int] | bytes] = {}  # offset and size, or a link
        self._named = 0
        try:
            for segment in read(DescriptorStream(descriptor)):
                if segment.entry is not None:
                    self._note(segment.entry, segment.offset + len(segment.raw))
        except BaseException:
            os.close(descriptor)
            raise

    def _note(self, entry: Entry, at: int) -> None:
        if entry.kind == FILE and entry.sparse is None:
            self._found[entry.name] = (at, entry.size)
        elif entry.kind == SYMLINK:
            self._found[entry.name] = _joined(entry.name.rpartition(b"/")[0], entry.link)
        elif entry.kind == HARDLINK:
            self._found[entry.name] = entry.link
        else:
            self._found.pop(entry.name, None)
        self._named += len(entry.name) + len(entry.link)
        if self._named > _NAMES_LIMIT:
            raise BadArchive(f"the archive's names have over {_NAMES_LIMIT} bytes together")
        if len(self._found) > _MEMBERS_LIMIT:
            raise BadArchive(f"the archive has over {_MEMBERS_LIMIT} members")

    def _find(self, name: str) -> tuple[int, int] | None:
        wanted = clean(os.fsencode(name))
        for _ in range(_LINKS):
            found = self._found.get(wanted)
            if not isinstance(found, bytes):
                return found
            wanted = found
        return None

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""
        return self._find(name) is not None

    def small(self, name: str, limit: int) -> bytes:
        """A file whole."""
        at, size = self._at(name)
        if size > limit:
            raise BadArchive(f"the member {name!r} has {size} bytes, more than {limit}")
        return os.pread(self._fd, size, at)

    def _at(self, name: str) -> tuple[int, int]:
        found = self._find(name)
        if found is None:
            raise BadArchive(f"the archive has no file {name!r}")
        return found

    def open(self, name: str) -> AbstractContextManager[ByteStream]:
        """A file as a stream."""
        return _Slice(self._fd, *self._at(name))

    def folders(self) -> list[str]:
        """The names of the folders at the top."""
        found = {name.partition(b"/") for name in self._found}
        return sorted({os.fsdecode(first) for first, slash, _ in found if slash})

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _joined(folder: bytes, target: bytes) -> bytes:
    try:
        return clean(folder + b"/" + target)
    except BadArchive:
        return b"\0"  # it climbs out of the archive, so it leads to no member


class DirectoryMembers:
    """The files beneath a directory, none of them reached through a link that leaves it."""

    def __init__(self, path: str) -> None:
        self._root = Root.at(path)

    def _open(self, name: str) -> int:
        try:
            descriptor = self._root.open(
                clean(os.fsencode(name)), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except OSError as error:
            raise BadArchive(f"the file {name!r} cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BadArchive(f"{shown(os.fsencode(name))} is no regular file")
        return descriptor

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""
        try:
            status = self._root.lstat(clean(os.fsencode(name)))
        except OSError:
            return False  # a loop of links, say: nothing to be read there
        return status is not None and stat.S_ISREG(status.st_mode)

    def small(self, name: str, limit: int) -> bytes:
        """A file whole."""
        with self.open(name) as stream:
            data = b""
            while more := stream.read(limit + 1 - len(data)):
                data += more
                if len(data) > limit:
                    raise BadArchive(f"the file {name!r} has more than {limit} bytes")
        return data

    def open(self, name: str) -> AbstractContextManager[ByteStream]:
        """A file as a stream."""
        return self._opened(name)

    @contextmanager
    def _opened(self, name: str) -> Iterator[ByteStream]:
        descriptor = self._open(name)
        try:
            yield _Slice(descriptor, 0, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)

    def folders(self) -> list[str]:
        """The names of the folders at the top."""
        top = self._root.open(b"", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(top) as found:
                return sorted(each.name for each in found if each.is_dir(follow_symlinks=False))
        finally:
            os.close(top)

    def close(self) -> None:
        """Close the directory."""
        self._root.close()
