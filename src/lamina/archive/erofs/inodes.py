"""The inodes of an image that is being made: a few dozen bytes each, in one buffer.

Attributes, link targets and chunk maps lie in the heap; a set of attributes that many files
share lies there once. Knows no names and no directories.
"""

import hashlib
import stat
import struct
from typing import NamedTuple

from lamina.archive.entry import Entry
from lamina.archive.erofs.attributes import encoded
from lamina.archive.erofs.heap import Heap
from lamina.fs.tree import Xattrs

_NANO = 1_000_000_000
_FACTS = struct.Struct("<HBIIqIQQ")


class Facts(NamedTuple):
    """One inode. `value` is by its kind a block of `device`, a device number, or a place in the
    heap: a link's target; the chunks of a file whose `device` is MAPPED.
    """

    mode: int
    device: int
    uid: int
    gid: int
    seconds: int
    nanoseconds: int
    size: int
    value: int


MAPPED = 0xFF


class Inodes:
    """Inodes by number, in the order in which they were made."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._table = bytearray()
        self._xattrs: dict[int, int] = {}
        self._known: dict[bytes, int] = {}  # digest of a set of attributes: its place

    def __len__(self) -> int:
        return len(self._table) // _FACTS.size

    def has_xattrs(self, number: int) -> bool:
        """Whether it has attributes."""
        return number in self._xattrs

    def __getitem__(self, number: int) -> Facts:
        return Facts._make(_FACTS.unpack_from(self._table, number * _FACTS.size))

    def mode(self, number: int) -> int:
        """The mode with its kind."""
        at = number * _FACTS.size
        return self._table[at] | self._table[at + 1] << 8

    def add(self, kind: int, entry: Entry, device: int, size: int, value: int) -> int:
        """A new inode; gives its number."""
        number = len(self._table) // _FACTS.size
        seconds, nanoseconds = divmod(entry.mtime_ns, _NANO)
        mode = kind | entry.mode
        uid, gid = entry.uid, entry.gid
        self._table += _FACTS.pack(mode, device, uid, gid, seconds, nanoseconds, size, value)
        if entry.xattrs:
            self._attach(number, mode, entry.xattrs)
        return number

    def describe(self, number: int, entry: Entry) -> None:
        """Give a directory other metadata."""
        facts = self[number]
        seconds, nanoseconds = divmod(entry.mtime_ns, _NANO)
        facts = facts._replace(
            mode=stat.S_IFDIR | entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            seconds=seconds,
            nanoseconds=nanoseconds,
        )
        _FACTS.pack_into(self._table, number * _FACTS.size, *facts)
        self._xattrs.pop(number, None)
        self._attach(number, facts.mode, entry.xattrs)

    def _attach(self, number: int, mode: int, xattrs: Xattrs) -> None:
        entries = encoded(xattrs, stat.S_IFMT(mode), mode)
        if not entries:
            return
        key = hashlib.blake2b(entries, digest_size=16).digest()
        place = self._known.get(key)
        if place is None:
            place = self._known[key] = self._heap.put(entries)
        self._xattrs[number] = place

    def xattrs(self, number: int) -> bytes:
        """Its attributes as the image's entries."""
        place = self._xattrs.get(number)
        return self._heap.get(place) if place is not None else b""
