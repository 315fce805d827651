"""A tar that is written member by member: to whatever takes bytes, or into a file.

Owners are 0:0 and times 0, so that equal members are equal bytes. In a file a member's place is
taken first and filled later, so that several are written at a time; or its size is told last.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from lamina.archive import header
from lamina.archive.entry import DIR, FILE, Entry, Write
from lamina.archive.writer import head
from lamina.errors import StoreDamaged
from lamina.fs.atomic import pwrite_all

_BLOCK = 512


class Tape(Protocol):
    """Takes members in order."""

    def folder(self, name: str) -> None:
        """Have a directory."""

    def file(self, name: str, data: bytes) -> None:
        """Have a small file."""

    def member(self, name: str, size: int) -> AbstractContextManager[Write]:
        """A way to write a file's bytes, of which there must be `size`."""

    def finish(self) -> None:
        """Write the end."""


class StreamTape:
    """Writes one member after the other."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def folder(self, name: str) -> None:
        """Have a directory."""
        self._write(_head(name, DIR, 0))

    def file(self, name: str, data: bytes) -> None:
        """Have a small file."""
        with self.member(name, len(data)) as write:
            write(data)

    @contextmanager
    def member(self, name: str, size: int) -> Iterator[Write]:
        """A way to write a file's bytes."""
        self._write(_head(name, FILE, size))
        counted = _Counted(self._write, name, size)
        yield counted
        counted.end()
        self._write(bytes(-size % _BLOCK))

    def finish(self) -> None:
        """Write the end."""
        self._write(bytes(2 * _BLOCK))


class FileTape:
    """Writes members into the file of a descriptor; used by several threads."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._lock = threading.Lock()
        self._end = 0

    def folder(self, name: str) -> None:
        """Have a directory."""
        self.place(name, 0, DIR)

    def file(self, name: str, data: bytes) -> None:
        """Have a small file."""
        pwrite_all(self._fd, data, self.place(name, len(data)))

    def place(self, name: str, size: int, kind: str = FILE) -> int:
        """Take a member's place; gives where its `size` bytes are to be written."""
        made = _head(name, kind, size)
        with self._lock:
            at = self._end
            self._end += len(made) + size + -size % _BLOCK
        pwrite_all(self._fd, made, at)
        return at + len(made)

    @contextmanager
    def member(self, name: str, size: int) -> Iterator[Write]:
        """A way to write a file's bytes."""
        with self.filled(name, self.place(name, size), size) as write:
            yield write

    @contextmanager
    def filled(self, name: str, at: int, size: int) -> Iterator[Write]:
        """A way to write the bytes of a member whose place was taken."""
        counted = _Counted(_Onward(self._fd, at), name, size)
        yield counted
        counted.end()

    @contextmanager
    def growing(self, name: str) -> Iterator[Write]:
        """A way to write as many bytes as there are; no other member meanwhile."""
        with self._lock:
            at = self._end
            counted = _Counted(_Onward(self._fd, at + _BLOCK), name, None)
            yield counted
            pwrite_all(self._fd, _sized(_head(name, FILE, 0), counted.size), at)
            self._end += _BLOCK + counted.size + -counted.size % _BLOCK

    def finish(self) -> None:
        """Write the end; what no member filled reads as zeros."""
        os.ftruncate(self._fd, self._end + 2 * _BLOCK)


class _Onward:
    """Writes at an offset that goes on with what is written."""

    def __init__(self, descriptor: int, at: int) -> None:
        self._fd = descriptor
        self._at = at

    def __call__(self, data: bytes) -> None:
        pwrite_all(self._fd, data, self._at)
        self._at += len(data)


class _Counted:
    """Counts what passes to a writer, and lets no more pass than was announced."""

    def __init__(self, write: Write, name: str, announced: int | None) -> None:
        self._write = write
        self._name = name
        self._announced = announced
        self.size = 0

    def __call__(self, data: bytes) -> None:
        if self._announced is not None and self.size + len(data) > self._announced:
            raise StoreDamaged(f"{self._name} has over the {self._announced} bytes announced")
        self._write(data)
        self.size += len(data)

    def end(self) -> None:
        """Raise unless as many bytes came as were announced."""
        if self.size != self._announced:
            raise StoreDamaged(f"{self._name} has {self.size} of {self._announced} bytes")


def _head(name: str, kind: str, size: int) -> bytes:
    return head(Entry(os.fsencode(name), kind, 0o755 if kind == DIR else 0o644, size=size))


def _sized(block: bytes, size: int) -> bytes:
    """A header block with another size: past 8 GiB in base 256, so that it stays one block."""
    made = bytearray(block)
    octal = header.fits_octal(size, 11)
    made[124:136] = b"%011o\0" % size if octal else (size | 1 << 95).to_bytes(12, "big")
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)
