"""The layer index: one file that says everything of a layer's tar but its files' contents.

Written while the layer is extracted (docs/format/layer-index.md): per member the raw header
bytes, the facts and the SHA-256 of its body; at the end whatever followed, the bodies that later
members destroyed, and totals. Export, usage, waste and comparison are all read from it.
"""

import hashlib
import os
import struct
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import is_
from types import TracebackType
from typing import NamedTuple, Self, cast

import msgspec

try:
    from isal.isal_zlib import compress  # four times as fast, and the same format
except ImportError:
    from zlib import compress

from lamina.archive.entry import FILE, Body, Entry, Held, Piece, Segment
from lamina.archive.results import Placement
from lamina.archive.salvage import discard_salvage
from lamina.errors import StoreDamaged
from lamina.fs.atomic import write_all
from lamina.fs.copy import copy_data
from lamina.values.closing import Closing


def _codec() -> tuple[Callable[[bytes], bytes], type[Exception]]:
    """What inflates, and its own error: igzip's where it is installed, almost twice as fast."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompress, zlib.error
    return isal_zlib.decompress, cast("type[Exception]", isal_zlib.error)


_inflate, _BROKEN = _codec()
_MAGIC = b"LAMIDX\x00\x01"
_END = b"LAMEND\x00\x01"
_FRAME = struct.Struct("<II")  # compressed bytes, records
_TRAILER = struct.Struct("<QI8s")  # footer's offset, its checksum, _END
_PER_FRAME = 256
_FRAME_BYTES = 4 << 20  # raw bytes after which a frame is closed early
_EARLIEST, _LATEST = -(1 << 63), (1 << 64) - 1  # ns: what msgpack's integers hold
_CHUNK = 1 << 20


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One member (or, with an empty kind, a piece of what follows the last one).

    `digest` is of the stored body, `place` the physical path where it differs from the name.
    """

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    devmajor: int
    devminor: int
    xattrs: tuple[tuple[bytes, bytes], ...]
    sparse: tuple[tuple[int, int], ...] | None
    digest: bytes
    offset: int
    raw: bytes
    place: bytes | None

    def entry(self) -> Entry:
        """The member as the tar reader gave it."""
        fields = (getattr(self, field) for field in Entry._fields)
        return Entry._make(fields)


class Footer(msgspec.Struct, frozen=True):
    """Totals, and where the salvaged bodies lie: record number to (offset, length)."""

    records: int
    size: int
    salvaged: dict[int, tuple[int, int]]


class Frame(NamedTuple):
    """Some records, and how they are `packed` in the file."""

    packed: bytes
    records: Sequence[Record]


class IndexWriter:
    """Writes the index at `path`; a context manager that leaves nothing behind on an error.

    `salvage_fd` is a directory beside it for files of the layer that later members destroy.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._salvage_path = f"{path}.salvage"
        os.mkdir(self._salvage_path, 0o700)
        self.salvage_fd = os.open(self._salvage_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._encode = msgspec.msgpack.Encoder().encode
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._like: Frame | None = None
        self._inodes = array("Q")
        self._count = self._size = 0
        self._placement: Placement | None = None
        write_all(self._fd, _MAGIC)

    def placed(self, placement: Placement) -> None:
        """Told by `apply`: where the member that is being written landed."""
        self._placement = placement

    def add(self, segment: Segment, digest: bytes) -> None:
        """Note one segment whose body has passed."""
        entry = segment.entry
        placement, self._placement = self._placement, None
        self._inodes.append(placement.inode if placement is not None else 0)
        if entry is None:
            record = _tail_record(segment)
        else:
            place = placement.path if placement and placement.path != entry.name else None
            if not _EARLIEST <= entry.mtime_ns <= _LATEST:
                entry = entry._replace(mtime_ns=_EARLIEST if entry.mtime_ns < 0 else _LATEST)
            record = Record(*entry, digest, segment.offset, segment.raw, place)
            self._size += entry.size if entry.kind == FILE else 0
            if entry.xattrs:
                self._waiting_bytes += sum(len(key) + len(value) for key, value in entry.xattrs)
        self._wait(record)

    def repeat(self, record: Record, frame: Frame, segment: Segment) -> None:
        """Note a segment that has passed, of a member of which another index has the `record`.

        A whole `frame` of that index need not be packed again.
        """
        if record.offset != segment.offset or len(record.raw) != len(segment.raw):
            self.add(segment, record.digest)
            return
        self._inodes.append(0)
        self._size += record.size if record.kind == FILE else 0
        self._like = frame
        self._wait(record)

    def _wait(self, record: Record) -> None:
        self._waiting.append(record)
        self._waiting_bytes += len(record.raw)
        if len(self._waiting) >= _PER_FRAME or self._waiting_bytes >= _FRAME_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._like is not None and _are_those(self._waiting, self._like.records):
            data = self._like.packed
        else:
            data = compress(self._encode(self._waiting), 1)
        write_all(self._fd, _FRAME.pack(len(data), len(self._waiting)) + data)
        self._count += len(self._waiting)
        self._waiting = []
        self._waiting_bytes = 0

    def finish(self) -> None:
        """Write what is left: the last frame, the salvaged bodies, the footer."""
        self._flush()
        write_all(self._fd, _FRAME.pack(0, 0))
        footer = self._encode(Footer(self._count, self._size, self._take_salvaged()))
        offset = os.lseek(self._fd, 0, os.SEEK_CUR)
        write_all(self._fd, footer + _TRAILER.pack(offset, zlib.crc32(footer), _END))

    def _take_salvaged(self) -> dict[int, tuple[int, int]]:
        """Copy the salvaged bodies in; gives their places by record number."""
        places: dict[int, tuple[int, int]] = {}
        # by its name: on btrfs a descriptor lists what was there when it was opened (Linux 6.5)
        for name, number in self._numbered(os.listdir(self._salvage_path)):
            if number not in places:
                places[number] = self._append(name)
        return places

    def _numbered(self, names: list[str]) -> Iterator[tuple[str, int]]:
        """For each `<inode>.<files placed until then>` the record that had the inode then.

        Asked in order, because the inode of a file that could only be copied may be a later
        file's, too. What no record has was copied up from below, and no tar needs it.
        """
        kept = sorted((int(placed), int(inode)) for inode, placed in (n.split(".") for n in names))
        wanted = {inode for _, inode in kept}
        placements = ((number, inode) for number, inode in enumerate(self._inodes) if inode)
        latest: dict[int, int] = {}
        passed = 0
        for placed, inode in kept:
            seen = islice(placements, placed - passed)
            latest.update({each: number for number, each in seen if each in wanted})
            passed = placed
            if inode in latest:
                yield f"{inode}.{placed}", latest[inode]

    def _append(self, name: str) -> tuple[int, int]:
        source = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.salvage_fd)
        try:
            size = os.fstat(source).st_size
            offset = os.lseek(self._fd, 0, os.SEEK_CUR)
            copy_data(source, self._fd, offset, size)
            os.lseek(self._fd, offset + size, os.SEEK_SET)
        finally:
            os.close(source)
        return offset, size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        discard_salvage(self._path)
        os.close(self.salvage_fd)
        os.close(self._fd)
        if error is not None:
            os.unlink(self._path)


def _are_those(records: Sequence[Record], others: Sequence[Record]) -> bool:
    return len(records) == len(others) and all(map(is_, records, others))


def _tail_record(segment: Segment) -> Record:
    return Record(
        b"", "", 0, 0, 0, 0, 0, b"", 0, 0, (), None, b"", segment.offset, segment.raw, None
    )


def indexed(segments: Iterable[Segment], writer: IndexWriter) -> Iterator[Segment]:
    """The same segments, each noted in `writer` once its body has passed."""
    for segment in segments:
        entry, raw, offset, stored = segment
        if isinstance(stored, Held):
            yield segment
            writer.add(segment, stored.digest)
            continue
        if entry is None or entry.kind != FILE or not entry.stored:
            yield segment
            writer.add(segment, b"")
            continue
        body = _Hashed(stored)
        yield Segment(entry, raw, offset, body)
        writer.add(segment, body.finish())


def records(segments: Iterable[Segment]) -> Iterator[Record]:
    """A tar's members as an index would hold them, without their raw bytes, as it passes by."""
    for entry, _, offset, stored in segments:
        if entry is None:
            continue
        has_body = entry.kind == FILE and entry.stored
        digest = _Hashed(stored).finish() if has_body else b""
        yield Record(*entry, digest, offset, b"", None)


class _Hashed:
    __slots__ = ("_hash", "_read")

    def __init__(self, body: Body) -> None:
        self._read = body.read
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> Piece:
        data = self._read(size)
        self._hash.update(data)
        return data

    def finish(self) -> bytes:
        """Read what is left; gives the digest of all."""
        while data := self._read(_CHUNK):
            self._hash.update(data)
        return self._hash.digest()


class IndexReader(Closing):
    """Reads an index; raises `StoreDamaged` when the file is not one or is cut off."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreDamaged(
                f"the layer index {path} is missing", hint="run `lamina check`"
            ) from None
        try:
            self.footer = self._read_footer()
        except BaseException:
            os.close(self._fd)
            raise

    def _read_footer(self) -> Footer:
        end = os.fstat(self._fd).st_size
        at = end - _TRAILER.size
        if at < len(_MAGIC) or os.pread(self._fd, len(_MAGIC), 0) != _MAGIC:
            raise self._damaged()
        offset, checksum, magic = _TRAILER.unpack(os.pread(self._fd, _TRAILER.size, at))
        if magic != _END or offset > at:
            raise self._damaged()
        data = os.pread(self._fd, at - offset, offset)
        if zlib.crc32(data) != checksum:
            raise self._damaged()
        self._end = offset
        try:
            return msgspec.msgpack.decode(data, type=Footer)
        except msgspec.MsgspecError:
            raise self._damaged() from None

    def _damaged(self) -> StoreDamaged:
        return StoreDamaged(f"the layer index {self._path} is damaged", hint="run `lamina check`")

    def records(self) -> Iterator[Record]:
        """Every record in the tar's order, tail pieces included."""
        for frame in self.frames():
            yield from frame.records

    def frames(self) -> Iterator[Frame]:
        """The same, as they are packed together."""
        decode = msgspec.msgpack.Decoder(list[Record]).decode
        at, left = len(_MAGIC), self.footer.records
        while left:
            try:
                length, count = _FRAME.unpack(os.pread(self._fd, _FRAME.size, at))
                if not 0 < count <= left or at + length > self._end:
                    raise self._damaged()
                data = os.pread(self._fd, length, at + _FRAME.size)
                found = decode(_inflate(data))
            except (struct.error, _BROKEN, msgspec.MsgspecError, OSError) as error:
                raise self._damaged() from error
            if len(found) != count:
                raise self._damaged()
            yield Frame(data, found)
            at, left = at + _FRAME.size + length, left - count

    def salvaged(self, number: int) -> tuple[int, int, int] | None:
        """Where the body of record `number` lies in this file: descriptor, offset, length."""
        place = self.footer.salvaged.get(number)
        return (self._fd, *place) if place is not None else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
