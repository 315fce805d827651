"""The bytes of a context's small files, by their SHA-256, so that a copy need not open each.

Where one file of a hundred thousand changed, all are copied, and the stat cache vouches for what
the others hold: opening and reading them again would take longer than all else. A checksum over
all of it tells of damage, as the stat cache's does. The file format is docs/format/build-cache.md;
a file that does not read as one is no cache, never an error. Knows no names and no attributes.
"""

import os
import struct
import threading
from binascii import crc32
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from lamina.fs.atomic import unlink_if_there, write_pieces

if TYPE_CHECKING:
    from mmap import mmap

SMALL = 4096  # bytes of a file: a block, which it takes up on disk anyway
_ROOM = 64 << 20  # bytes of all of one context's
_MAGIC = b"lamina files 2\n\0"
_HEADER = struct.Struct("<16sII")  # magic, number of files, CRC-32 of all that follows
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
        self._stored: _Stored | None = None if path is not None else _NONE
        self._fresh: dict[bytes, bytes] = {}
        self._left = _ROOM

    @property
    def fresh(self) -> int:
        """How many contents are known that are not saved."""
        return len(self._fresh)

    def find(self, digest: bytes) -> bytes | None:
        """The content of that SHA-256, if it is known."""
        places, data = self._stored or self._known()
        place = places.get(digest)
        if place is None:
            return self._fresh.get(digest)
        return data[place[0] : place[1]]

    def keep(self, digest: bytes, data: bytes) -> None:
        """Remember a content of at most `SMALL` bytes, as long as there is room."""
        if self._path is None or len(data) > SMALL or digest in self._fresh:
            return
        if len(data) <= self._left:
            self._left -= len(data)
            self._fresh[digest] = data

    def _known(self) -> "_Stored":
        with self._lock:
            if self._stored is None:
                self._stored = _load(self._path) if self._path is not None else _NONE
            return self._stored

    def save(self, wanted: AbstractSet[bytes]) -> None:
        """Write what was learnt, and of what was known before all that is `wanted` still.

        Raises OSError.
        """
        if self._path is None or not self._fresh:
            return
        places, data = self._known()
        kept = {each: content for each, content in self._fresh.items() if each in wanted}
        for each, (start, end) in places.items():
            if each in wanted:
                kept[each] = data[start:end]
        temporary = self._temporary() if self._temporary is not None else None
        write_pieces(self._path, _packed(_within_room(kept)), mode=0o600, temporary=temporary)
        self._fresh = {}
        self._stored = None  # read again, if one is asked for

    def forget(self) -> None:
        """Let nothing be known any more; raises OSError."""
        self._fresh = {}
        self._stored = _NONE
        if self._path is not None:
            unlink_if_there(self._path)


class _Stored(NamedTuple):
    """A file's contents: where each begins and ends in its bytes."""

    places: dict[bytes, tuple[int, int]]
    data: "bytes | mmap"


_NONE = _Stored({}, b"")


def _within_room(files: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """As many of them as there is room for."""
    if sum(map(len, files.values())) <= _ROOM:
        return files
    ends = accumulate(map(len, files.values()))
    return {each: files[each] for each, end in zip(files, ends, strict=True) if end <= _ROOM}


def _packed(kept: dict[bytes, bytes]) -> list[bytes]:
    table = b"".join([_ROW.pack(digest, len(data)) for digest, data in kept.items()])
    contents = list(kept.values())
    starts = range(0, len(contents), _AT_ONCE)
    pieces = [table, *(b"".join(contents[start : start + _AT_ONCE]) for start in starts)]
    checksum = 0
    for piece in pieces:
        checksum = crc32(piece, checksum)
    return [_HEADER.pack(_MAGIC, len(kept), checksum), *pieces]


def _load(path: str) -> _Stored:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > 2 * _ROOM:
                return _NONE
            from mmap import MAP_POPULATE, MAP_PRIVATE, PROT_READ, mmap  # a cached build has none

            data = mmap(file.fileno(), 0, MAP_PRIVATE | MAP_POPULATE, PROT_READ)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return _NONE
    if len(data) < _HEADER.size:
        return _NONE
    magic, count, checksum = _HEADER.unpack_from(data)
    at = _HEADER.size + count * _ROW.size
    with memoryview(data) as view, view[_HEADER.size :] as body, view[_HEADER.size : at] as table:
        if magic != _MAGIC or at > len(data) or crc32(body) != checksum:
            return _NONE
        rows = list(_ROW.iter_unpack(table))
    ends = accumulate((size for _, size in rows), initial=at)
    digests = (digest for digest, _ in rows)
    return _Stored(dict(zip(digests, pairwise(ends), strict=True)), data)
