"""Mounted file systems that take up a device which has grown, and blocks given back.

ext4 (fs/ext4/ext4.h), xfs (fs/xfs/libxfs/xfs_fs.h) and block devices (include/uapi/linux/fs.h),
each by its ioctl(2). Every function raises OSError.
"""

import fcntl
import os
import struct

_EXT4_RESIZE = 0x40086610  # EXT4_IOC_RESIZE_FS
_XFS_GEOMETRY = 0x80705864  # XFS_IOC_FSGEOMETRY_V1
_XFS_GROW = 0x4010586E  # XFS_IOC_FSGROWFSDATA
_XFS_INODE_SHARE_AT = 28  # imaxpct, in percent
_DISCARD = 0x1277  # BLKDISCARD


def grow_ext4(descriptor: int, size: int) -> None:
    """Let a mounted ext4 take up `size` bytes."""
    blocks = size // os.fstatvfs(descriptor).f_bsize
    fcntl.ioctl(descriptor, _EXT4_RESIZE, struct.pack("=Q", blocks))


def grow_xfs(descriptor: int, size: int) -> None:
    """Let a mounted xfs take up `size` bytes; the share that inodes may have stays."""
    geometry = bytearray(112)
    fcntl.ioctl(descriptor, _XFS_GEOMETRY, geometry)
    (share,) = struct.unpack_from("=I", geometry, _XFS_INODE_SHARE_AT)
    blocks = size // os.fstatvfs(descriptor).f_bsize
    fcntl.ioctl(descriptor, _XFS_GROW, struct.pack("=QIxxxx", blocks, share))


def discard(device: int, size: int) -> None:
    """Give back the first `size` bytes of an open block device."""
    fcntl.ioctl(device, _DISCARD, struct.pack("=QQ", 0, size))
