"""The bytes of a context's small files, by their SHA-256, so that a copy need not open each.

Where one file of a hundred thousand changed, all are copied, and the stat cache vouches for what
the others hold: opening and reading them again would take longer than all else. What is found
here is hashed before it is believed. The file format is docs/format/build-cache.md; a file that
does not read as one is no cache, never an error. Knows no names and no attributes.
"""

import hashlib
import os
import struct
import threading
from binascii import crc32
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import accumulate

from lamina.fs.atomic import unlink_if_there, write_pieces

SMALL = 4096  # bytes of a file: a block, which it takes up on disk anyway
_ROOM = 64 << 20  # bytes of all of one context's
_MAGIC = b"lamina files 1\n\0"
_HEADER = struct.Struct("<16sII")  # magic, number of files, CRC-32 of the table
_ROW = struct.Struct("<32sI")  # SHA-256, size; their bytes follow the table in this order
_AT_ONCE = 1024  # files that are written by one call


class SmallFiles:
    """Contents by digest, read from `path` when one is first asked for; for any thread.

    In memory alone when `path` is None, and then nothing is kept. `temporary` says where a file
    that is not yet complete may be left by a kill.
    """

    def __init__(self, path: str | None, temporary: Callable[[], str] | None = None) -> None:
        self._path = path
        self._temporary = temporary
        self._lock = threading.Lock()
        self._stored: dict[bytes, bytes | memoryview] | None = None if path is not None else {}
        self._fresh: dict[bytes, bytes] = {}
        self._left = _ROOM

    @property
    def fresh(self) -> int:
        """How many contents are known that are not saved."""
        return len(self._fresh)

    def find(self, digest: bytes) -> bytes | None:
        """The content of that SHA-256, if it is known."""
        data = self._fresh.get(digest)
        if data is not None:
            return data
        stored = self._stored if self._stored is not None else self._known()
        found = stored.get(digest)
        if found is None:
            return None
        data = bytes(found)
        return data if hashlib.sha256(data).digest() == digest else None

    def keep(self, digest: bytes, data: bytes) -> None:
        """Remember a content of at most `SMALL` bytes, as long as there is room."""
        if self._path is None or len(data) > SMALL or digest in self._fresh:
            return
        if len(data) <= self._left:
            self._left -= len(data)
            self._fresh[digest] = data

    def _known(self) -> "dict[bytes, bytes | memoryview]":
        with self._lock:
            if self._stored is None:
                self._stored = _load(self._path) if self._path is not None else {}
            return self._stored

    def save(self, wanted: AbstractSet[bytes]) -> None:
        """Write what was learnt, and of what was known before all that is `wanted` still.

        Raises OSError.
        """
        if self._path is None or not self._fresh:
            return
        known = {**self._fresh, **self._known()}
        kept = _within_room({each: data for each, data in known.items() if each in wanted})
        temporary = self._temporary() if self._temporary is not None else None
        write_pieces(self._path, _packed(kept), mode=0o600, temporary=temporary)
        self._fresh = {}
        self._stored = kept

    def forget(self) -> None:
        """Let nothing be known any more; raises OSError."""
        self._fresh = {}
        self._stored = {}
        if self._path is not None:
            unlink_if_there(self._path)


def _within_room(files: "dict[bytes, bytes | memoryview]") -> "dict[bytes, bytes | memoryview]":
    """As many of them as there is room for."""
    if sum(map(len, files.values())) <= _ROOM:
        return files
    ends = accumulate(map(len, files.values()))
    return {each: files[each] for each, end in zip(files, ends, strict=True) if end <= _ROOM}


def _packed(kept: "dict[bytes, bytes | memoryview]") -> "list[bytes]":
    table = b"".join([_ROW.pack(digest, len(data)) for digest, data in kept.items()])
    contents = list(kept.values())
    starts = range(0, len(contents), _AT_ONCE)
    pieces = [b"".join(contents[start : start + _AT_ONCE]) for start in starts]
    return [_HEADER.pack(_MAGIC, len(kept), crc32(table)), table, *pieces]


def _load(path: str) -> "dict[bytes, bytes | memoryview]":
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > 2 * _ROOM:
                return {}
            from mmap import MAP_POPULATE, MAP_PRIVATE, PROT_READ, mmap  # a cached build has none

            data = memoryview(mmap(file.fileno(), 0, MAP_PRIVATE | MAP_POPULATE, PROT_READ))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return {}
    if len(data) < _HEADER.size:
        return {}
    magic, count, checksum = _HEADER.unpack_from(data)
    at = _HEADER.size + count * _ROW.size
    table = data[_HEADER.size : at]
    if magic != _MAGIC or len(table) != count * _ROW.size or crc32(table) != checksum:
        return {}
    found: dict[bytes, bytes | memoryview] = {}
    for digest, size in _ROW.iter_unpack(table):
        found[digest] = data[at : at + size]
        at += size
    return found
