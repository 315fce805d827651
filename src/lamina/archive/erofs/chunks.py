"""A file with holes as chunks over the tar, where its regions let it be so.

Pure arithmetic on offsets and blocks.
"""

from collections.abc import Iterable
from typing import NamedTuple

from lamina.archive.entry import Regions
from lamina.archive.erofs import format as erofs

CHUNKS_LIMIT = 1 << 16  # half a MiB of indexes


class ChunkMap(NamedTuple):
    """Chunks of one size, each with its index."""

    bits: int
    indexes: bytes

    def record(self) -> bytes:
        """As one run of bytes."""
        return bytes((self.bits,)) + self.indexes

    @classmethod
    def of_record(cls, record: bytes) -> "ChunkMap":
        """Undo `record`."""
        return cls(record[0], record[1:])


def whole(size: int, device: int, block: int) -> ChunkMap:
    """The one chunk (above 1 TiB some more) of a file that lies in one piece."""
    bits = erofs.chunk_bits(size)
    count = erofs.chunk_count(size, bits)
    if count == 1:
        return ChunkMap(bits, erofs.pack_chunk(device, block))
    packed = (erofs.pack_chunk(device, block + (chunk << bits)) for chunk in range(count))
    return ChunkMap(bits, b"".join(packed))


def chunk_map(size: int, regions: Regions, start: int) -> ChunkMap | None:
    """The chunks of a file whose stored regions follow each other from block `start` of the tar.

    None where a region begins or ends within a block, or where it would take too many chunks.
    """
    edges = 0
    for offset, length in regions:
        edges |= offset | offset + length
    if edges % erofs.BLOCK:
        return None
    bits = _largest(edges >> erofs.BLOCK_BITS, size)
    count = erofs.chunk_count(size, bits)
    if count > CHUNKS_LIMIT:
        return None
    blocks = [erofs.HOLE] * count
    for chunk, block in _stored(regions, start, bits):
        blocks[chunk] = block
    packed = (erofs.pack_chunk(block != erofs.HOLE, block) for block in blocks)
    return ChunkMap(bits, b"".join(packed))


def _largest(edges: int, size: int) -> int:
    """The bits of the largest chunk that has every edge at its own edge."""
    whole = erofs.chunk_bits(size)
    return min((edges & -edges).bit_length() - 1, whole) if edges else whole


def _stored(regions: Regions, start: int, bits: int) -> Iterable[tuple[int, int]]:
    """Number and block of each chunk that is no hole."""
    shift = erofs.BLOCK_BITS + bits
    for offset, length in regions:
        for chunk in range(offset >> shift, offset + length >> shift):
            yield chunk, start
            start += 1 << bits
