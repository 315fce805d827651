"""EROFS on disk, in the format's own words (fs/erofs/erofs_fs.h): structures to and from bytes.

Only what images over a tar need: blocks of 512 bytes, 64-byte inodes, plain, inline and chunked
data, devices, inline attributes. Pure; knows no file and no tree.
"""

import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

BLOCK_BITS = 9
BLOCK = 1 << BLOCK_BITS
SUPER_AT = 1024
MAGIC = 0xE0F5E1E2
SLOT = 32  # an inode's number (nid) counts these from the start of the inode area
META_BLOCK = 3  # the first block behind super block and device slots
ROOT_NID = 2  # 0 is no inode number that programs expect; the root's has 16 bits only

COMPAT = 0x1 | 0x2  # checksum, mtime
INCOMPAT = 0x4 | 0x8  # chunked files, device table
DEVICES_AT = SUPER_AT + 128
DEVICES_LIMIT = 3  # slots that fit the super block's own block

PLAIN, INLINE, CHUNKED = 0, 2, 4
CHUNK_INDEXES = 0x20  # in `value`: indexes, and the chunk's bits below
CHUNK_BITS_LIMIT = 31
HOLE = 0xFFFFFFFF
NAME_LIMIT = 255
BLOCK_LIMIT = 1 << 32  # addresses have 32 bits, and the last of them means a hole

_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24x")
_DEVICE = struct.Struct("<64sII56x")
_INODE = struct.Struct("<HHHHQIIIIqII16x")
_CHUNK = struct.Struct("<HHI")
_SIMPLE_FILE = struct.Struct("<HHHHQIIIIqII16xHHI")
_DIRENT = struct.Struct("<QHBx")
_XATTR_ENTRY = struct.Struct("<BBH")
_XATTR_HEAD = bytes(12)
CHUNK_SIZE = _CHUNK.size
INODE_SIZE = _INODE.size
SIMPLE_FILE_SIZE = _SIMPLE_FILE.size
SIMPLE_FILE_LIMIT = BLOCK << CHUNK_BITS_LIMIT
SUPER_SIZE = _SUPER.size
DEVICE_SIZE = _DEVICE.size
CHECKSUM_AT = 4  # of the super block
UUID_AT = 48


class SuperBlock(NamedTuple):
    """What the kernel reads first. `blocks` are of the image itself."""

    checksum: int
    root_nid: int
    inodes: int
    blocks: int
    uuid: bytes
    devices: int

    def pack(self) -> bytes:
        """Its 128 bytes."""
        return _SUPER.pack(
            MAGIC,
            self.checksum,
            COMPAT,
            BLOCK_BITS,
            0,
            self.root_nid,
            self.inodes,
            0,
            0,
            self.blocks,
            META_BLOCK,
            0,
            self.uuid,
            b"",
            INCOMPAT,
            0,
            self.devices,
            DEVICES_AT // DEVICE_SIZE,
            0,
            0,
            0,
            0,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read it; whether it says what `pack` would say is for the caller to compare."""
        fields = _SUPER.unpack(data)
        return cls(fields[1], fields[5], fields[6], fields[9], fields[12], fields[16])


class Device(NamedTuple):
    """A slot of the device table: a file that inodes point into."""

    tag: bytes
    blocks: int
    start: int

    def pack(self) -> bytes:
        """Its 128 bytes."""
        return _DEVICE.pack(self.tag, self.blocks, self.start)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read one."""
        tag, blocks, start = _DEVICE.unpack(data)
        return cls(tag.rstrip(b"\0"), blocks, start)


class Inode(NamedTuple):
    """An "extended" inode; `value` is a block, a device number or a chunk format by its kind."""

    layout: int
    xattr_count: int
    mode: int
    size: int
    value: int
    number: int
    uid: int
    gid: int
    seconds: int
    nanoseconds: int
    links: int

    def pack(self) -> bytes:
        """Its 64 bytes."""
        return _INODE.pack(1 | self[0] << 1, self[1], self[2], 0, *self[3:])

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read one; raises ValueError for the compact form, which is never written."""
        form, count, mode, reserved, *rest = _INODE.unpack(data)
        if not form & 1 or reserved:
            raise ValueError("not an extended inode")
        return cls(form >> 1, count, mode, *rest)


def pack_simple_file(
    mode: int,
    size: int,
    number: int,
    uid: int,
    gid: int,
    seconds: int,
    nanoseconds: int,
    links: int,
    device: int,
    block: int,
) -> bytes:
    """The inode of a file without attributes and with one chunk, and that chunk's index."""
    form, value = 1 | CHUNKED << 1, CHUNK_INDEXES | chunk_bits(size)
    inode = (form, 0, mode, 0, size, value, number, uid, gid, seconds, nanoseconds, links)
    return _SIMPLE_FILE.pack(*inode, 0, device, block)


# --- device numbers and chunks ----------------------------------------------------------------


def encode_device(major: int, minor: int) -> int:
    """A device number as inodes hold it (new_encode_dev of include/linux/kdev_t.h)."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def decode_device(value: int) -> tuple[int, int]:
    """Major and minor of it."""
    return value >> 8 & 0xFFF, value & 0xFF | value >> 12 & 0xFFF00


def chunk_bits(size: int) -> int:
    """The power of two, over a block, of the smallest chunk that holds `size` bytes (or 2**40)."""
    return min((size - 1 >> BLOCK_BITS).bit_length(), CHUNK_BITS_LIMIT)


def chunk_count(size: int, bits: int) -> int:
    """How many such chunks a file has."""
    return -(-size >> BLOCK_BITS + bits)


def pack_chunk(device: int, block: int) -> bytes:
    """One chunk's index."""
    return _CHUNK.pack(0, device, block)


def unpack_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Device and block of each chunk."""
    return ((device, block) for _, device, block in _CHUNK.iter_unpack(data))


# --- directories ------------------------------------------------------------------------------


class Run(NamedTuple):
    """Which entries, from the n-th up to but not the m-th, one block holds; its bytes in use."""

    first: int
    end: int
    used: int


def directory_runs(names: Sequence[bytes]) -> list[Run]:
    """How sorted names (`.` and `..` among them) fall into blocks."""
    runs = []
    first = used = 0
    for index, name in enumerate(names):
        need = _DIRENT.size + len(name)
        if used + need > BLOCK:
            runs.append(Run(first, index, used))
            first, used = index, 0
        used += need
    runs.append(Run(first, len(names), used))
    return runs


def directory_size(runs: Sequence[Run]) -> int:
    """The size that the directory's inode tells."""
    return (len(runs) - 1) * BLOCK + runs[-1].used


def pack_directory_block(entries: Sequence[tuple[bytes, int, int]]) -> bytes:
    """One block of (name, nid, mode): all entries, then all names; not padded."""
    at = _DIRENT.size * len(entries)
    heads = []
    for name, nid, mode in entries:
        heads.append(_DIRENT.pack(nid, at, _KINDS[mode & 0xF000]))
        at += len(name)
    return b"".join(heads) + b"".join([name for name, _, _ in entries])


def unpack_directory_block(data: bytes) -> list[tuple[bytes, int, int]]:
    """(name, nid, kind) of each entry; raises ValueError for one that leaves its block."""
    if len(data) < _DIRENT.size:
        raise ValueError("a directory block is cut off")
    names_at = _DIRENT.unpack_from(data)[1]
    count, rest = divmod(names_at, _DIRENT.size)
    if rest or count < 1 or names_at > len(data):
        raise ValueError("a directory block's first name is misplaced")
    heads = [_DIRENT.unpack_from(data, _DIRENT.size * index) for index in range(count)]
    ends = [*(head[1] for head in heads[1:]), len(data)]
    found = []
    for (nid, start, kind), end in zip(heads, ends, strict=True):
        name = data[start:end].partition(b"\0")[0] if end == len(data) else data[start:end]
        if not names_at <= start < end <= len(data) or not 0 < len(name) <= NAME_LIMIT:
            raise ValueError("a directory entry's name is misplaced")
        found.append((name, nid, kind))
    return found


_KINDS = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}


def kind_of(mode: int) -> int:
    """The kind that a directory entry tells of an inode with this mode."""
    return _KINDS[stat.S_IFMT(mode)]


# --- attributes -------------------------------------------------------------------------------

_PREFIXES = (  # index in the format, prefix; the first that fits counts
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
)
VALUE_LIMIT = 0xFFFF
XATTRS_LIMIT = 4 * 0xFFFE  # bytes of one inode's attributes, whose count has 16 bits


def pack_xattrs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Attributes as entries, without what stands before the first.

    Raises KeyError for a name that the format has no prefix for, ValueError for a value or a
    name that is too long.
    """
    return b"".join(_pack_xattr(name, value) for name, value in pairs)


def _pack_xattr(name: bytes, value: bytes) -> bytes:
    index, prefix = _prefix(name)
    rest = name[len(prefix) :]
    if len(rest) > NAME_LIMIT or len(value) > VALUE_LIMIT:
        raise ValueError(name)
    data = _XATTR_ENTRY.pack(len(rest), index, len(value)) + rest + value
    return data + bytes(-len(data) % 4)


def _prefix(name: bytes) -> tuple[int, bytes]:
    for index, prefix in _PREFIXES:
        if name.startswith(prefix):
            return index, prefix
    raise KeyError(name)


def xattr_body(entries: bytes) -> bytes:
    """What follows an inode with these attributes; nothing when there are none."""
    return _XATTR_HEAD + entries if entries else b""


def xattr_count(body: bytes) -> int:
    """The number by which an inode tells how long that is."""
    return (len(body) - len(_XATTR_HEAD)) // 4 + 1 if body else 0


def xattr_size(count: int) -> int:
    """The bytes that such a number means."""
    return len(_XATTR_HEAD) + 4 * (count - 1) if count else 0


def unpack_xattrs(body: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of each attribute; raises ValueError for what leaves its inode."""
    if body[:12] != _XATTR_HEAD[: len(body)]:
        raise ValueError("shared attributes, which are never written")
    prefixes = dict(_PREFIXES)
    found = []
    at = len(_XATTR_HEAD)
    while at < len(body):
        if at + _XATTR_ENTRY.size > len(body):
            raise ValueError("an attribute is cut off")
        length, index, size = _XATTR_ENTRY.unpack_from(body, at)
        start = at + _XATTR_ENTRY.size
        at = start + length + size
        if at > len(body) or index not in prefixes:
            raise ValueError("an attribute is cut off or unknown")
        found.append((prefixes[index] + body[start : start + length], body[start + length : at]))
        at += -at % 4
    return found


# --- checksum ---------------------------------------------------------------------------------


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C as EROFS takes it: all ones at the beginning, nothing at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value
