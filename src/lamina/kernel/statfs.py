"""Which file system a path lies on (statfs(2)); os.statvfs tells how much of it is free."""

import os
import struct

from lamina.kernel.libc import buffer, fail, libc_call

# include/uapi/linux/magic.h; names as docker's `info` shows them
_NAMES = {
    0xEF53: "extfs",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x6969: "nfs",
    0x65735546: "fuse",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0x73717368: "squashfs",
    0xE0F5E1E2: "erofs",
    0x61756673: "aufs",
    0xF15F: "ecryptfs",
    0x858458F6: "ramfs",
    0x63677270: "cgroup2fs",
    0x27E0EB: "cgroupfs",
}
NSFS = 0x6E736673
_ROOM = 512  # struct statfs is smaller than this on every architecture


def magic(path: str | bytes) -> int:
    """The file system's magic number (statfs.f_type)."""
    found = buffer(_ROOM)
    if libc_call("statfs", os.fsencode(path), found) < 0:
        raise fail("statfs", path)
    (kind,) = struct.unpack_from("l", found.raw)
    return int(kind) & 0xFFFFFFFF


def filesystem_name(path: str) -> str:
    """The name that docker's users know: `extfs`, `xfs`, `btrfs` ..."""
    try:
        number = magic(path)
    except OSError:
        return "unknown"
    return _NAMES.get(number, f"unknown (0x{number:x})")
