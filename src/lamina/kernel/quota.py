"""Project quotas: how much a directory tree may hold (quotactl(2), FS_IOC_FSSETXATTR).

Numbers and structures are those of include/uapi/linux/fs.h, dqblk_xfs.h and quota.h. xfs and
ext4 answer to the same calls; both have to be mounted with project quotas.
"""

import fcntl
import os
import struct

from lamina.kernel.libc import buffer, fail, libc_call

_FSXATTR = struct.Struct("=IIIII8s")  # fsx_xflags, extsize, nextents, projid, cowextsize, padding
_GET_XATTR = 0x801C581F  # FS_IOC_FSGETXATTR
_SET_XATTR = 0x401C5820
_INHERIT = 0x200  # FS_XFLAG_PROJINHERIT
_PROJECT = 2  # PRJQUOTA
_SET_LIMIT = 0x5804  # Q_XSETQLIM
_DISK_QUOTA = struct.Struct("=bbHIQQ88x")  # fs_disk_quota up to its limits on blocks
_VERSION, _OF_PROJECT, _BLOCK_LIMITS = 1, 2, 1 << 2 | 1 << 3  # FS_DQ_BSOFT, FS_DQ_BHARD
_BASIC_BLOCK = 512


def project(directory: int) -> int:
    """The project that an open directory belongs to; 0 is none. Raises OSError."""
    found: int = _FSXATTR.unpack(_get(directory))[3]
    return found


def set_project(directory: int, number: int) -> None:
    """Let a directory, and what is made in it from now on, belong to a project; raises OSError."""
    flags, extent, extents, _, copied, rest = _FSXATTR.unpack(_get(directory))
    wanted = _FSXATTR.pack(flags | _INHERIT, extent, extents, number, copied, rest)
    fcntl.ioctl(directory, _SET_XATTR, wanted)


def _get(directory: int) -> bytes:
    return fcntl.ioctl(directory, _GET_XATTR, bytes(_FSXATTR.size))


def limit_project(device: str, number: int, size: int) -> None:
    """Let a project hold at most `size` bytes on a block device; 0 is no limit. Raises OSError."""
    blocks = -(-size // _BASIC_BLOCK)
    wanted = _DISK_QUOTA.pack(_VERSION, _OF_PROJECT, _BLOCK_LIMITS, number, blocks, blocks)
    given = buffer(wanted)
    command = _SET_LIMIT << 8 | _PROJECT
    if libc_call("quotactl", command, os.fsencode(device), number, given) < 0:
        raise fail("quotactl", device)
