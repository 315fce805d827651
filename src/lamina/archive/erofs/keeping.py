"""Keeping a layer's tar as it passes, and beside it what cannot be pointed at in a tar.

    layer.tar     every byte, in order, while `passing` hands the members on
    layer.data    files copied up, files with holes, files whose last block has a dirty tail

Both are addressed in blocks of 512 bytes, which is how a tar places bodies. Knows segments and
extents; knows no names and no image.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from lamina.archive.entry import FILE, Body, Piece, Regions, Segment
from lamina.archive.erofs.format import BLOCK, BLOCK_BITS, BLOCK_LIMIT
from lamina.errors import StorageError
from lamina.fs.atomic import pwrite_all, write_all
from lamina.fs.copy import copy_data, copy_range

TAR, DATA = "layer.tar", "layer.data"
_BUFFERED = 1 << 20
_CHUNK = 1 << 20
_PAGE = 4096
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Extent(NamedTuple):
    """Where a file's bytes begin: device 1 is the tar, 2 the data; 0 for none."""

    device: int
    block: int


NOWHERE = Extent(0, 0)


class Contents:
    """The two files of one layer while they grow; a context manager that closes them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._tar = os.open(os.path.join(folder, TAR), _NEW, 0o400)
        self._data = -1
        self._waiting: list[Piece] = []
        self._at = self._written = 0  # bytes of the tar that have passed, and are in the file
        self._data_end = 0
        self._last: tuple[int, int, int] | None = None  # owner, offset, size of the last file
        self.moved: dict[int, int] = {}  # files that lie in the data after all: owner to block

    # --- the tar as it passes -----------------------------------------------------------

    def passing(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """The same segments, each kept before the next is asked for."""
        for segment in segments:
            entry, raw, offset, body = segment
            if self._last is not None:
                self._check_tail(raw)
            self._keep(raw)
            if entry is None or entry.kind != FILE or not entry.size:
                yield segment
                continue
            kept = _Kept(body, entry.stored, self._keep)
            yield Segment(entry, raw, offset, kept)
            kept.finish()
        self._flush()

    def _keep(self, data: Piece) -> None:
        self._waiting.append(data)
        self._at += len(data)
        if self._at - self._written >= _BUFFERED:
            _check_end(self._at, TAR)
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            write_all(self._tar, b"".join(self._waiting))
            self._waiting.clear()
            self._written = self._at

    def _check_tail(self, raw: bytes) -> None:
        """Move a file whose last block ends in anything but zeros: a mapping would show it."""
        assert self._last is not None
        owner, offset, size = self._last
        self._last = None
        if raw[: -size % BLOCK].strip(b"\0"):
            self._flush()
            block = self._reserve(size)
            copy_range(self._tar, offset, self._data, block << BLOCK_BITS, size)
            self.moved[owner] = block

    # --- where files lie ----------------------------------------------------------------

    def stored(self, owner: int, size: int) -> Extent:
        """Where the body that follows lies in the tar; `owner` is the number of its inode."""
        if not size:
            return NOWHERE
        if size % BLOCK:
            self._last = (owner, self._at, size)
        return Extent(1, self.block)

    @property
    def block(self) -> int:
        """The block of the tar in which the body that follows begins."""
        return self._at >> BLOCK_BITS

    def written_out(self, size: int, regions: Regions, body: Body) -> Extent:
        """A file with holes, written into the data from the body that follows."""
        start = self._reserve(size)
        for offset, length in regions:
            at = (start << BLOCK_BITS) + offset
            while length:
                piece = body.read(min(_CHUNK, length))
                pwrite_all(self._data, piece, at)
                at += len(piece)
                length -= len(piece)
        return Extent(2, start)

    def copied(self, source: int, size: int) -> Extent:
        """A copy in the data of a file of a lower layer, holes included."""
        if not size:
            return NOWHERE
        start = self._reserve(size)
        copy_data(source, self._data, start << BLOCK_BITS, size)
        return Extent(2, start)

    def _reserve(self, size: int) -> int:
        """Room for a file at the end of the data; gives its first block."""
        if self._data < 0:
            self._data = os.open(os.path.join(self._folder, DATA), _NEW, 0o400)
        start = self._data_end
        self._data_end += size + -size % BLOCK
        _check_end(self._data_end, DATA)
        os.ftruncate(self._data, self._data_end)
        return start >> BLOCK_BITS

    def devices(self) -> list[tuple[bytes, int]]:
        """Tag and size in blocks of each file; of the data only where there is any."""
        found = [(TAR.encode(), -(-self._at >> BLOCK_BITS))]
        if self._data >= 0:
            found.append((content_digest(self._data).encode(), self._data_end >> BLOCK_BITS))
        return found

    def close(self) -> None:
        """Close both files."""
        os.close(self._tar)
        if self._data >= 0:
            os.close(self._data)


def content_digest(descriptor: int) -> str:
    """SHA-256, in hex, of every 4 KiB of a file that are not all zeros, each with its offset.

    So a hole and zeros are the same, wherever a file system allows holes.
    """
    digest = hashlib.sha256()
    size = os.fstat(descriptor).st_size
    digest.update(size.to_bytes(8, "little"))
    at = 0
    while (at := _next_data(descriptor, at)) < size:
        page = os.pread(descriptor, _PAGE, at)
        if page.strip(b"\0"):
            digest.update(at.to_bytes(8, "little") + page)
        at += _PAGE
    return digest.hexdigest()


def _next_data(descriptor: int, at: int) -> int:
    """The page at or behind `at` where a file may hold something but zeros."""
    try:
        found = os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        return os.fstat(descriptor).st_size if error.errno == errno.ENXIO else at
    return found - found % _PAGE


def _check_end(end: int, name: str) -> None:
    if end >> BLOCK_BITS >= BLOCK_LIMIT - 1:
        raise StorageError(
            f"{name} would be larger than the 2 TiB that an EROFS image can point into",
            hint="choose another storage driver for this image",
        )


class _Kept:
    """A body that is kept as it is read; what is left is kept by `finish`."""

    __slots__ = ("_keep", "_left", "_read")

    def __init__(self, body: Body, size: int, keep: Callable[[Piece], None]) -> None:
        self._read = body.read
        self._left = size
        self._keep = keep

    def read(self, size: int, /) -> Piece:
        data = self._read(size)
        self._left -= len(data)
        self._keep(data)
        return data

    def finish(self) -> None:
        while self._left and self.read(_CHUNK):
            pass
