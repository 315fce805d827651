"""Bytes that an image needs later and memory should not hold: link targets, attributes, maps.

Records in a file without a name, the last ones still in a buffer.
"""

import os
import struct

from lamina.fs.atomic import write_all

_BUFFERED = 1 << 20
_LENGTH = struct.Struct("<I")


class Heap:
    """Records by offset; gone with its descriptor."""

    def __init__(self, folder: str) -> None:
        """`folder` is where the file would lie; it is made when the buffer is full."""
        self._folder = folder
        self._fd = -1
        self._written = 0
        self._buffer = bytearray()

    def put(self, record: bytes) -> int:
        """Keep a record; gives its offset."""
        at = self._written + len(self._buffer)
        self._buffer += _LENGTH.pack(len(record)) + record
        if len(self._buffer) >= _BUFFERED:
            self._flush()
        return at

    def _flush(self) -> None:
        if self._fd < 0:
            name = os.path.join(self._folder, "heap")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(name, flags, 0o600)
            os.unlink(name)
        write_all(self._fd, bytes(self._buffer))
        self._written += len(self._buffer)
        self._buffer.clear()

    def get(self, at: int) -> bytes:
        """The record at an offset that `put` gave."""
        (length,) = _LENGTH.unpack(self._bytes(at, _LENGTH.size))
        return self._bytes(at + _LENGTH.size, length)

    def _bytes(self, at: int, length: int) -> bytes:
        if at >= self._written:
            start = at - self._written
            return bytes(self._buffer[start : start + length])
        return os.pread(self._fd, length, at)

    def close(self) -> None:
        """Give it up."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
