"""From entries to the bytes of a deterministic tar.

ustar where the values fit, PAX records where they do not, PAX 1.0's map where a file has holes; no
user or group names, no access times; equal entries give equal bytes. Two blocks of zeros end it.
"""

import hashlib
import os
from collections.abc import Generator
from functools import lru_cache
from itertools import chain

from lamina.archive import header, pax, sparse
from lamina.archive.entry import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    Held,
    Known,
    MemberStream,
    Opener,
    Regions,
    Segment,
    Watched,
    Write,
)
from lamina.errors import BadArchive
from lamina.fs.inroot import shown

_CHUNK = 1 << 20
_ZEROS = bytes(header.BLOCK)
_END = bytes(2 * header.BLOCK)
_NANO = 1_000_000_000
_REMEMBERED = 256
_SHOWN = 200  # bytes of a name, in a complaint
_TYPES = {
    FILE: b"0",
    HARDLINK: b"1",
    SYMLINK: b"2",
    CHAR: b"3",
    BLOCK: b"4",
    DIR: b"5",
    FIFO: b"6",
}


def write(entries: MemberStream, out: Write) -> None:
    """Write the tar of `entries` piece by piece."""
    for segment in segments(entries, out):
        while segment.body.read(_CHUNK):
            pass


def segments(entries: MemberStream, tap: Write) -> Generator[Segment, None, None]:
    """The entries as the segments of their tar; `tap` is given each byte of it in order.

    A body must be read to its end before the next segment is asked for. Raises `BadArchive` for
    what no reader takes.
    """
    offset = 0
    padding = b""
    for entry, content in chain(entries, [(None, None)]):
        if isinstance(content, Known):
            block, content = content
        else:
            block = head(entry) if entry is not None else _END
        raw = padding + block
        tap(raw)
        if isinstance(content, Held):
            tap(content.data)
            yield Segment(entry, raw, offset, content)
        else:
            body = FileBody(entry, content, tap)
            try:
                yield Segment(entry, raw, offset, body)
                body.finish()
            finally:
                body.close()
        stored = entry.stored if entry is not None else 0
        padding = _ZEROS[: -stored % header.BLOCK]
        offset += len(raw) + stored


class FileBody:
    """The stored bytes of one file, passed to the tap as they are read; exactly as many as said."""

    __slots__ = ("_digest", "_entry", "_fd", "_left", "_regions", "_tap", "_watched")

    def __init__(self, entry: Entry | None, content: Opener | Watched | None, tap: Write) -> None:
        self._entry = entry
        self._left = 0  # of the region that is being read
        self._regions = iter(_regions(entry))
        self._tap = tap
        self._watched = content if isinstance(content, Watched) else None
        self._digest = hashlib.sha256() if self._watched is not None else None
        opener = content.open if isinstance(content, Watched) else content
        self._fd = opener() if opener is not None and entry is not None and entry.stored else -1

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end. Raises `BadArchive` for a file that is shorter."""
        if not self._left and not self._next():
            return b""
        data = os.read(self._fd, min(size, self._left))
        if not data:
            assert self._entry is not None
            raise BadArchive(f"the file {shown(self._entry.name)} became shorter while it was read")
        self._left -= len(data)
        self._tap(data)
        if self._digest is not None:
            self._digest.update(data)
        return data

    def _next(self) -> bool:
        offset, self._left = next(self._regions, (0, 0))
        if offset:
            os.lseek(self._fd, offset, os.SEEK_SET)
        return self._left > 0

    def finish(self) -> None:
        """Read what is left, and tell what all of it was."""
        while self.read(_CHUNK):
            pass
        if self._watched is not None and self._digest is not None:
            self._watched.passed(self._digest.digest())

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _regions(entry: Entry | None) -> Regions:
    if entry is None or not entry.stored:
        return ()
    return entry.sparse if entry.sparse is not None else ((0, entry.size),)


def head(entry: Entry) -> bytes:
    """The header blocks of one entry, and the map of a file with holes; raises `BadArchive`."""
    records: list[tuple[bytes, bytes]] = []
    name = entry.name + b"/" if entry.kind == DIR else entry.name
    if entry.kind == DIR and not entry.name:
        name = b"./"
    holes = b""
    if entry.kind == FILE and entry.sparse is not None:
        holes = sparse.to_body(entry.sparse, entry.size)
        name = _holed(entry, records)
    prefix, base = _split(name, records)
    link = entry.link
    if len(link) > 100:
        records.append((b"linkpath", link))
        link = link[:100]
    block = header.build(
        name=base,
        prefix=prefix,
        mode=entry.mode,
        uid=_octal(entry.uid, 7, b"uid", records),
        gid=_octal(entry.gid, 7, b"gid", records),
        size=_octal(len(holes) + entry.stored, 11, b"size", records),
        mtime=_time(entry.mtime_ns, records),
        typeflag=_TYPES[entry.kind],
        link=link,
        devmajor=_octal(entry.devmajor, 7, b"SCHILY.devmajor", records),
        devminor=_octal(entry.devminor, 7, b"SCHILY.devminor", records),
    )
    records += [(pax.attribute_key(key), value) for key, value in entry.xattrs]
    return (_extended(entry, records) if records else b"") + block + holes


def _holed(entry: Entry, records: list[tuple[bytes, bytes]]) -> bytes:
    """Add PAX 1.0's records of a file with holes; gives the name that only old readers see."""
    records += [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", entry.name),
        (b"GNU.sparse.realsize", b"%d" % entry.size),
    ]
    return b"GNUSparseFile.0/" + entry.name.rpartition(b"/")[2][:80]


def _split(name: bytes, records: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """A name as ustar's prefix and name; a PAX record for one that does not fit."""
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", len(name) - 101, 156)
    if 0 < cut <= 155 and len(name) - cut - 1 <= 100 and cut < len(name) - 1:
        return name[:cut], name[cut + 1 :]
    records.append((b"path", name))
    return b"", name[:100]


def _octal(value: int, digits: int, key: bytes, records: list[tuple[bytes, bytes]]) -> int:
    if 0 <= value < 1 << 3 * digits:
        return value
    records.append((key, b"%d" % value))
    return 0


def _time(mtime_ns: int, records: list[tuple[bytes, bytes]]) -> int:
    seconds, fraction = divmod(mtime_ns, _NANO)
    if fraction or not header.fits_octal(seconds, 11):
        records.append((b"mtime", pax.format_time(mtime_ns)))
    return seconds if header.fits_octal(seconds, 11) else 0


def _extended(entry: Entry, records: list[tuple[bytes, bytes]]) -> bytes:
    data = pax.build(records)
    if len(data) > header.META_LIMIT:  # who reads it refuses it, so that it could never be loaded
        raise BadArchive(
            f"the name and attributes of {shown(entry.name[-_SHOWN:])} take {len(data)} bytes, and"
            f" a layer holds no more than {header.META_LIMIT} of a file's"
        )
    return _announced(len(data)) + data + _ZEROS[: -len(data) % header.BLOCK]


@lru_cache(_REMEMBERED)
def _announced(size: int) -> bytes:
    """The header of that many bytes of records; most members have as many as another."""
    return header.build(
        name=b"PaxHeaders/0",
        prefix=b"",
        mode=0o644,
        uid=0,
        gid=0,
        size=size,
        mtime=0,
        typeflag=b"x",
        link=b"",
        devmajor=0,
        devminor=0,
    )
