"""From a stream of tar bytes to segments: every dialect, every byte accounted for.

v7, ustar, GNU (long names, base 256, old sparse) and PAX (local and global, sparse 0.0 to 1.0,
SCHILY.xattr). What precedes a body is kept raw, so that the tar can leave as it came. Bounded:
no header, name or map is believed beyond a limit. Does not judge where a member would land.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lamina.archive import header, pax, sparse
from lamina.archive.entry import (
    BLOCK as BLOCK_DEVICE,
)
from lamina.archive.entry import (
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    Piece,
    Regions,
    Segment,
)
from lamina.archive.header import BLOCK, META_LIMIT, Header
from lamina.errors import BadArchive
from lamina.fs.inroot import clean, shown

_CHUNK = 1 << 20
_META_CHAIN = 64  # such headers in a row before a member
_SHARED_LIMIT = 256  # records of global headers, which every member after them carries
_XATTR_LIMIT = 1 << 16  # bytes of one attribute's value, XATTR_SIZE_MAX of linux/limits.h
_SIZE_LIMIT = 1 << 60
_NOT_KEPT = (b"atime", b"ctime")  # no layer sets them
_ZERO = bytes(BLOCK)
_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": CHAR,
    b"4": BLOCK_DEVICE,
    b"5": DIR,
    b"6": FIFO,
}


class ByteStream(Protocol):
    """Anything with `read(n)`: up to n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


def read(stream: ByteStream) -> Iterator[Segment]:
    """The members of a tar in order, then what follows them; raises `BadArchive`.

    Each body must be read (or left: the rest is passed over) before the next segment.
    """
    source = _Input(stream)
    shared: dict[bytes, bytes] = {}
    padding = b""  # after a body; it belongs to the next segment's raw
    while True:
        start = source.offset - len(padding)
        block = source.block()
        if not block or (not block[0] and not block.strip(b"\0")):
            yield from _tail(source, padding + block, start)
            return
        member = _member(source, block, shared)
        if not member.stored:
            yield Segment(member.entry, padding + member.raw, start, _NOTHING)
            padding = b""
            continue
        body = _Stored(source, member.stored)
        yield Segment(member.entry, padding + member.raw, start, body)
        padding = body.finish()


class _Input:
    """The stream behind one buffer."""

    __slots__ = ("_at", "_before", "_buffer", "_end", "_read", "_view")

    def __init__(self, stream: ByteStream) -> None:
        self._read = stream.read
        self._buffer = b""
        self._view = memoryview(b"")  # of the buffer
        self._at = self._end = 0
        self._before = 0  # bytes of the stream that came before the buffer

    @property
    def offset(self) -> int:
        """How many bytes were taken."""
        return self._before + self._at

    def take(self, size: int) -> memoryview:
        """Up to `size` bytes, none at the end of the stream."""
        at = self._at
        if at == self._end:
            self._before += at
            self._buffer = self._read(_CHUNK)
            self._view = memoryview(self._buffer)
            self._end = len(self._buffer)
            at = 0
        end = min(at + size, self._end)
        self._at = end
        return self._view[at:end]

    def exact(self, size: int) -> bytes:
        """Exactly `size` bytes; raises `BadArchive` when the stream ends before."""
        at = self._at
        end = at + size
        if end <= self._end:
            self._at = end
            return self._buffer[at:end]
        pieces: list[bytes] = []
        while size:
            piece = self.take(size)
            if not piece:
                raise BadArchive("the tar is cut off")
            pieces.append(bytes(piece))
            size -= len(piece)
        return b"".join(pieces)

    def block(self) -> bytes:
        """The next header block; nothing at the very end, where the end marker was left out."""
        end = self._at + BLOCK
        if end <= self._end:
            return self.exact(BLOCK)
        first = bytes(self.take(BLOCK))
        if len(first) == BLOCK or not first:
            return first
        return first + self.exact(BLOCK - len(first))


class _Stored:
    """A member's stored bytes; `finish` passes over the rest and gives the padding."""

    __slots__ = ("_left", "_pad", "_source")

    def __init__(self, source: _Input, size: int) -> None:
        self._source = source
        self._left = size
        self._pad = -size % BLOCK

    def read(self, size: int, /) -> Piece:
        left = self._left
        if not left:
            return b""
        piece = self._source.take(size if size < left else left)
        if not piece:
            raise BadArchive("the tar is cut off within a file")
        self._left = left - len(piece)
        return piece

    def finish(self) -> bytes:
        while self._left:
            self.read(_CHUNK)
        return self._source.exact(self._pad) if self._pad else b""


class _Member(NamedTuple):
    entry: Entry
    raw: bytes
    stored: int


class _Extra:
    """What the headers before a member's own say of it."""

    __slots__ = ("link", "name", "pax", "raw")

    def __init__(self, shared: dict[bytes, bytes]) -> None:
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.pax: dict[bytes, bytes] = dict(shared) if shared else {}
        self.raw: list[bytes] = []


def _member(source: _Input, block: bytes, shared: dict[bytes, bytes]) -> _Member:
    """Read on from `block` to the member's own header, past those that only describe it."""
    extra = _Extra(shared)
    for _ in range(_META_CHAIN):
        extra.raw.append(block)
        described = header.parse_extended(block)
        if described is None:
            return _finish(source, header.parse(block), block, extra)
        typeflag, size = described
        data = _meta(source, size, extra)
        if typeflag == b"L":
            extra.name = data.rstrip(b"\0")
        elif typeflag == b"K":
            extra.link = data.rstrip(b"\0")
        else:
            _take_records(data, extra, shared if typeflag == b"g" else None)
        block = source.exact(BLOCK)
    raise BadArchive("too many extended headers in a row")


def _meta(source: _Input, size: int, extra: _Extra) -> bytes:
    if not 0 <= size <= META_LIMIT:
        raise BadArchive(f"an extended header claims {size} bytes")
    data = source.exact(size + -size % BLOCK)
    extra.raw.append(data)
    return data[:size]


def _take_records(data: bytes, extra: _Extra, shared: dict[bytes, bytes] | None) -> None:
    offsets: list[bytes] = []
    for key, value in pax.parse(data):
        if key in _NOT_KEPT:
            continue
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            offsets.append(value)
        for kept in (extra.pax,) if shared is None else (extra.pax, shared):
            if value or key.startswith(pax.XATTR):
                kept[key] = value
            else:
                kept.pop(key, None)  # an empty value takes an earlier record back, pax(1)
    if shared is not None and len(shared) > _SHARED_LIMIT:
        raise BadArchive(f"the global headers have over {_SHARED_LIMIT} records")
    if offsets:
        extra.pax[b"GNU.sparse.map"] = b",".join(offsets)


def _finish(source: _Input, head: Header, block: bytes, extra: _Extra) -> _Member:
    records = extra.pax
    name = _name(head, extra)
    kind = _KINDS.get(head.typeflag)
    if kind is None:
        raise BadArchive(f"the member {shown(name)} is of a type {head.typeflag!r} unknown here")
    if kind == FILE and name.endswith(b"/") and head.typeflag != b"S":
        kind = DIR
    stored = pax.number(records[b"size"], "size") if b"size" in records else head.size
    if kind != FILE:
        stored = 0
    if not 0 <= stored < _SIZE_LIMIT:
        raise BadArchive(f"the member {shown(name)} claims {stored} bytes")
    size, regions, taken = _regions(source, head, block, extra, stored)
    return _Member(
        _entry(head, records, clean(name), kind, _link(head, extra, kind), size, regions),
        b"".join(extra.raw),
        stored - taken,
    )


def _name(head: Header, extra: _Extra) -> bytes:
    records = extra.pax
    found = records.get(b"GNU.sparse.name") or records.get(b"path") or extra.name or head.name
    if b"\0" in found:
        raise BadArchive(f"the name {shown(found)} holds a NUL byte")
    return found


def _link(head: Header, extra: _Extra, kind: str) -> bytes:
    link = extra.pax.get(b"linkpath") or extra.link or head.link
    if b"\0" in link:
        raise BadArchive(f"the link target {shown(link)} holds a NUL byte")
    return clean(link) if kind == HARDLINK else link


def _regions(
    source: _Input, head: Header, block: bytes, extra: _Extra, stored: int
) -> tuple[int, Regions | None, int]:
    """The file's real size, its map if it has holes, and how much of the body the map took."""
    records = extra.pax
    if head.typeflag == b"S":

        def more() -> bytes:
            extra.raw.append(source.exact(BLOCK))
            return extra.raw[-1]

        size, regions = sparse.old_gnu(block, more)
        return _matching(size, regions, stored, 0)
    if b"GNU.sparse.major" in records and records[b"GNU.sparse.major"] == b"1":
        size = pax.number(records.get(b"GNU.sparse.realsize", b""), "sparse size")
        data, regions = sparse.from_body(source.exact, stored, size)
        extra.raw.append(data)
        return _matching(size, regions, stored, len(data))
    if b"GNU.sparse.map" in records:
        real = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize", b"")
        size = pax.number(real, "sparse size")
        return _matching(size, sparse.from_text(records[b"GNU.sparse.map"], size), stored, 0)
    return stored, None, 0


def _matching(
    size: int, regions: Regions, stored: int, taken: int
) -> tuple[int, Regions | None, int]:
    if sum(length for _, length in regions) != stored - taken or size >= _SIZE_LIMIT:
        raise BadArchive("a sparse map does not fit what is stored")
    return size, regions, taken


def _entry(
    head: Header,
    records: dict[bytes, bytes],
    name: bytes,
    kind: str,
    link: bytes,
    size: int,
    regions: Regions | None,
) -> Entry:
    if not records:
        return Entry(
            name,
            kind,
            head.mode,
            head.uid,
            head.gid,
            size,
            head.mtime * 1_000_000_000,
            link,
            head.devmajor,
            head.devminor,
            sparse=regions,
        )
    return Entry(
        name,
        kind,
        head.mode,
        pax.number(records[b"uid"], "owner") if b"uid" in records else head.uid,
        pax.number(records[b"gid"], "group") if b"gid" in records else head.gid,
        size,
        pax.time_ns(records[b"mtime"]) if b"mtime" in records else head.mtime * 1_000_000_000,
        link,
        _device(records, b"SCHILY.devmajor", head.devmajor),
        _device(records, b"SCHILY.devminor", head.devminor),
        _xattrs(records),
        regions,
    )


def _device(records: dict[bytes, bytes], key: bytes, default: int) -> int:
    return pax.number(records[key], "device") if key in records else default


def _xattrs(records: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    found = [
        (pax.attribute_name(key), value)
        for key, value in records.items()
        if key.startswith(pax.XATTR)
    ]
    for key, value in found:
        if b"\0" in key or len(value) > _XATTR_LIMIT:
            raise BadArchive(f"the attribute {shown(key)} can be no file's")
    return tuple(sorted(found))


def _tail(source: _Input, raw: bytes, offset: int) -> Iterator[Segment]:
    """What follows the last member, piece by piece: the end marker and whatever comes after."""
    if raw[-BLOCK:] == _ZERO:
        second = bytes(source.take(BLOCK))
        if len(second) == BLOCK and second != _ZERO:
            raise BadArchive("the tar has a lone block of zeros between its members")
        raw += second
    while raw:
        yield Segment(None, raw, offset, _NOTHING)
        offset += len(raw)
        raw = bytes(source.take(_CHUNK))


class _Nothing:
    def read(self, _size: int, /) -> bytes:
        return b""


_NOTHING = _Nothing()
