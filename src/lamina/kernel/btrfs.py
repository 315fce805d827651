"""btrfs by ioctl(2): subvolumes, snapshots, quota groups, and which files changed since when.

Structures and numbers are those of include/uapi/linux/btrfs.h and btrfs_tree.h. Every function
raises OSError in the kernel's words; a descriptor is any of the file system unless said.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = 0x9123683E  # include/uapi/linux/magic.h
ROOT_INODE = 256  # of every subvolume: BTRFS_FIRST_FREE_OBJECTID

_WRITE, _READ = 1 << 30, 2 << 30
_VOLUME_ARGS = 4096
_NAME_AT, _NAME_V2_AT, _NAME_MAX = 8, 56, 255
_READONLY = 1 << 1  # BTRFS_SUBVOL_RDONLY
_INFO = struct.Struct("=Q256sQQQQ16s16s16sQQQQ" + "QIxxxx" * 4 + "64x")
_ROOTREF_ARGS = 4096
_KEY = struct.Struct("=QQQQQQQIIIxxxx32xQ")  # btrfs_ioctl_search_key and the buffer's size
_HEADER = struct.Struct("=QQQII")
_INODE = struct.Struct("=QQQQQIIII")  # btrfs_inode_item up to its mode
_SEARCH_BUFFER = 1 << 16
_INODE_ITEM, _INODE_REF, _INODE_EXTREF = 1, 12, 13
_LAST = (1 << 64) - 1
_QUOTA_ENABLE = 1
_LIMIT_EXCLUSIVE = 1 << 1


def _number(direction: int, number: int, size: int) -> int:
    return direction | size << 16 | 0x94 << 8 | number


_SUBVOL_CREATE = _number(_WRITE, 14, _VOLUME_ARGS)
_SNAP_DESTROY = _number(_WRITE, 15, _VOLUME_ARGS)
_TREE_SEARCH_V2 = _number(_READ | _WRITE, 17, _KEY.size)
_SNAP_CREATE_V2 = _number(_WRITE, 23, _VOLUME_ARGS)
_GET_FLAGS = _number(_READ, 25, 8)
_SET_FLAGS = _number(_WRITE, 26, 8)
_QUOTA_CTL = _number(_READ | _WRITE, 40, 16)
_QGROUP_CREATE = _number(_WRITE, 42, 16)
_QGROUP_LIMIT = _number(_READ, 43, 48)
_QUOTA_RESCAN_WAIT = _number(0, 46, 0)
_GET_SUBVOL_INFO = _number(_READ, 60, _INFO.size)
_GET_SUBVOL_ROOTREF = _number(_READ | _WRITE, 61, _ROOTREF_ARGS)


class Subvolume(NamedTuple):
    """What the kernel knows of a subvolume.

    `made_in` is the transaction that made it: all that changed in it later carries a higher one.
    `made_at` is that moment in nanoseconds; `origin` the UUID of what it is a snapshot of.
    """

    id: int
    uuid: bytes
    origin: bytes
    made_in: int
    made_at: int


class Inode(NamedTuple):
    """One inode of a subvolume, as its tree holds it; `disk` in bytes."""

    number: int
    size: int
    disk: int
    links: int
    mode: int


# --- subvolumes -------------------------------------------------------------------------------


def create_subvolume(folder: int, name: str) -> None:
    """Make an empty subvolume in the directory `folder`."""
    fcntl.ioctl(folder, _SUBVOL_CREATE, _volume_args(0, name, _NAME_AT))


def snapshot(source: int, folder: int, name: str) -> None:
    """Make a writable snapshot of the subvolume `source` in the directory `folder`."""
    fcntl.ioctl(folder, _SNAP_CREATE_V2, _volume_args(source, name, _NAME_V2_AT))


def destroy_subvolume(folder: int, name: str) -> None:
    """Take a subvolume away with all that is in it; ENOTEMPTY while another is nested in it."""
    fcntl.ioctl(folder, _SNAP_DESTROY, _volume_args(0, name, _NAME_AT))


def _volume_args(descriptor: int, name: str, at: int) -> bytearray:
    encoded = os.fsencode(name)
    if len(encoded) > _NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    arguments = bytearray(_VOLUME_ARGS)
    struct.pack_into("=q", arguments, 0, descriptor)
    arguments[at : at + len(encoded)] = encoded
    return arguments


def is_readonly(subvolume: int) -> bool:
    """Whether a subvolume may not be changed."""
    return bool(_flags(subvolume) & _READONLY)


def set_readonly(subvolume: int, readonly: bool) -> None:
    """Let a subvolume be changed or not; nothing when it is so already."""
    flags = _flags(subvolume)
    wanted = flags | _READONLY if readonly else flags & ~_READONLY
    if wanted != flags:
        fcntl.ioctl(subvolume, _SET_FLAGS, struct.pack("=Q", wanted))


def _flags(subvolume: int) -> int:
    raw = fcntl.ioctl(subvolume, _GET_FLAGS, bytes(8))
    return int.from_bytes(raw, "little")


def subvolume(descriptor: int) -> Subvolume:
    """The subvolume that `descriptor` lies in."""
    raw = bytearray(_INFO.size)
    fcntl.ioctl(descriptor, _GET_SUBVOL_INFO, raw)
    found = _INFO.unpack(raw)
    seconds, nanoseconds = found[15], found[16]
    return Subvolume(found[0], found[6], found[7], found[10], seconds * 1_000_000_000 + nanoseconds)


def has_nested(descriptor: int) -> bool:
    """Whether other subvolumes lie in this one."""
    raw = bytearray(_ROOTREF_ARGS)
    try:
        fcntl.ioctl(descriptor, _GET_SUBVOL_ROOTREF, raw)
    except OSError as error:
        if error.errno != errno.EOVERFLOW:  # more of them than the buffer takes
            raise
    return bool(raw[8 + 255 * 16])


# --- what changed -----------------------------------------------------------------------------


def changed_inodes(descriptor: int, since: int) -> Iterator[Inode]:
    """The inodes of a subvolume that a transaction later than `since` touched.

    Costs what changed, not what is there: unchanged parts of the tree are not read. What is
    not yet written is not seen: call syncfs first. Needs CAP_SYS_ADMIN.
    """
    for objectid, kind, _offset, data in _search(descriptor, since + 1, 0, _LAST, 0, 255):
        if kind == _INODE_ITEM:
            _made, touched, size, disk, _group, links, _uid, _gid, mode = _INODE.unpack_from(data)
            if touched > since:
                yield Inode(objectid, size, disk, links, mode)


def parents_of(descriptor: int, inode: int) -> set[int]:
    """The inodes of the directories in which an inode has its names. Needs CAP_SYS_ADMIN."""
    found = set()
    for _, kind, offset, data in _search(descriptor, 0, inode, inode, _INODE_REF, _INODE_EXTREF):
        if kind == _INODE_REF:
            found.add(offset)
        elif kind == _INODE_EXTREF:
            found.update(_extended_parents(data))
    return found


def _extended_parents(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        parent, _index, length = struct.unpack_from("=QQH", data, at)
        yield parent
        at += 18 + length


def _search(
    descriptor: int, since: int, first: int, last: int, first_kind: int, last_kind: int
) -> Iterator[tuple[int, int, int, bytes]]:
    """Items of the subvolume's tree from one key to another, in blocks not older than `since`."""
    raw = bytearray(_KEY.size + _SEARCH_BUFFER)
    key = (first, first_kind, 0)
    while True:
        objectid, kind, offset = key
        _KEY.pack_into(
            raw, 0, 0, objectid, last, offset, _LAST, since, _LAST, kind, last_kind,
            _SEARCH_BUFFER, _SEARCH_BUFFER,
        )  # fmt: skip
        fcntl.ioctl(descriptor, _TREE_SEARCH_V2, raw)
        count = int.from_bytes(raw[64:68], "little")
        if not count:
            return
        at = _KEY.size
        for _ in range(count):
            _transid, objectid, offset, kind, length = _HEADER.unpack_from(raw, at)
            at += _HEADER.size
            yield objectid, kind, offset, bytes(raw[at : at + length])
            at += length
        following = _after(objectid, kind, offset)
        if following is None:
            return
        key = following


def _after(objectid: int, kind: int, offset: int) -> tuple[int, int, int] | None:
    if offset < _LAST:
        return objectid, kind, offset + 1
    if kind < 255:
        return objectid, kind + 1, 0
    return (objectid + 1, 0, 0) if objectid < _LAST else None


# --- quota groups -----------------------------------------------------------------------------


def enable_quota(descriptor: int) -> None:
    """Switch quota groups on for the whole file system and wait until they are counted."""
    fcntl.ioctl(descriptor, _QUOTA_CTL, bytearray(struct.pack("=QQ", _QUOTA_ENABLE, 0)))
    fcntl.ioctl(descriptor, _QUOTA_RESCAN_WAIT)


def limit_exclusive(subvolume: int, size: int) -> None:
    """Let a subvolume hold at most that many bytes that it shares with no other."""
    arguments = struct.pack("=QQQQQQ", 0, _LIMIT_EXCLUSIVE, 0, size, 0, 0)
    fcntl.ioctl(subvolume, _QGROUP_LIMIT, bytearray(arguments))


def forget_quota(descriptor: int, subvolume_id: int) -> None:
    """Take away the quota group of a subvolume that is gone."""
    fcntl.ioctl(descriptor, _QGROUP_CREATE, struct.pack("=QQ", 0, subvolume_id))
