"""Attributes as the kernel would have set them: refused where it refuses, kept as it keeps them.

An image's attributes are set by nobody: what setxattr(2) and the chmod(2) after it would have
checked and changed (include/linux/xattr.h, fs/posix_acl.c, security/commoncap.c) is done here.
"""

import errno
import os
import stat
import struct

from lamina.archive.erofs import format as erofs
from lamina.fs.inroot import shown
from lamina.fs.tree import Xattrs, keep_xattr

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_NAMELESS = (b"user.", b"trusted.", b"security.")
_CAPABILITY = b"security.capability"
_CAPABILITY_SIZES = {2: 20, 3: 24}  # by revision
_PLAIN = (stat.S_IFREG, stat.S_IFDIR)  # what alone may have user attributes
_AclEntry = tuple[int, int, int]  # tag, permissions, whose
_ACL_VERSION = b"\x02\0\0\0"
_ACL_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 0x10, 0x20
_ACL_ORDER = (_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER)
_BASE, _NAMED = {_USER_OBJ, _GROUP_OBJ, _OTHER}, {_USER, _GROUP}
_NOBODY = 0xFFFFFFFF
_SPARE = 64  # bytes left for overlayfs's own mark


def encoded(xattrs: Xattrs, kind: int, mode: int) -> bytes:
    """The attributes that a layer carries, as an image's entries, for a file of that kind.

    Raises OSError, in the kernel's words, for what could not have been set.
    """
    kept = [(name, value) for name, value in xattrs if keep_xattr(name)]
    entries = b"".join([_encoded(name, value, kind, mode) for name, value in kept])
    if len(entries) > erofs.XATTRS_LIMIT - _SPARE:
        raise _refusal(errno.ENOSPC, kept[-1][0])
    return entries


def _encoded(name: bytes, value: bytes, kind: int, mode: int) -> bytes:
    if name.startswith(b"user.") and kind not in _PLAIN:
        raise _refusal(errno.EPERM, name)
    if name == _CAPABILITY and not _is_capability(value):
        raise _refusal(errno.EINVAL, name)
    if name in (ACCESS, DEFAULT):
        value = _acl(name, value, kind, mode)
        if not value:
            return b""
    elif name in _NAMELESS:
        raise _refusal(errno.EINVAL, name)
    try:
        return erofs.pack_xattrs(((name, value),))
    except KeyError:
        raise _refusal(errno.EOPNOTSUPP, name) from None
    except ValueError:
        raise _refusal(errno.ENOSPC, name) from None


def _refusal(number: int, name: bytes) -> OSError:
    return OSError(number, f"{os.strerror(number)} (setting the attribute {shown(name)})")


def _is_capability(value: bytes) -> bool:
    return len(value) > 3 and _CAPABILITY_SIZES.get(value[3]) == len(value)


def _acl(name: bytes, value: bytes, kind: int, mode: int) -> bytes:
    """An ACL as it is read back after the mode was set; nothing where the mode says it all."""
    entries = _parsed(name, value)
    if kind == stat.S_IFLNK:
        raise _refusal(errno.EOPNOTSUPP, name)
    if not entries:
        return b""
    if name == DEFAULT and kind != stat.S_IFDIR:
        raise _refusal(errno.EACCES, name)
    if not _is_valid(entries):
        raise _refusal(errno.EINVAL, name)
    if name == ACCESS:
        if {tag for tag, _, _ in entries} <= _BASE:
            return b""
        entries = _with_mode(entries, mode)
    return _ACL_VERSION + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


def _parsed(name: bytes, value: bytes) -> list[_AclEntry]:
    """The entries; an ID where none belongs is none."""
    if not value:
        return []
    if len(value) < len(_ACL_VERSION):
        raise _refusal(errno.EINVAL, name)
    if value[:4] != _ACL_VERSION:
        raise _refusal(errno.EOPNOTSUPP, name)
    if len(value) % _ACL_ENTRY.size != 4:
        raise _refusal(errno.EINVAL, name)
    entries = list(_ACL_ENTRY.iter_unpack(value[4:]))
    if any(tag not in _ACL_ORDER or (tag in _NAMED and who == _NOBODY) for tag, _, who in entries):
        raise _refusal(errno.EINVAL, name)
    return [(tag, perm, who if tag in _NAMED else _NOBODY) for tag, perm, who in entries]


def _is_valid(entries: list[_AclEntry]) -> bool:
    """Whether all that must be there is, once and in order (posix_acl_valid)."""
    present = [tag for tag, _, _ in entries]
    ranks = [_ACL_ORDER.index(tag) for tag in present]
    single = [tag for tag in present if tag not in _NAMED]
    needed = _BASE | ({_MASK} if _NAMED & set(present) else set())
    return (
        ranks == sorted(ranks)
        and len(set(single)) == len(single)
        and needed <= set(present)
        and all(perm <= 7 for _, perm, _ in entries)
    )


def _with_mode(entries: list[_AclEntry], mode: int) -> list[_AclEntry]:
    """As chmod(2) leaves it: owner, mask (or group) and others are those of the mode."""
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    bits = {_USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    return [(tag, bits.get(tag, perm), who) for tag, perm, who in entries]
