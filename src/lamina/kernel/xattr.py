"""Extended attributes without following a link: by descriptor, or by directory and name.

Names are bytes. A file system that keeps none reads as having none; writing says so.
"""

import errno
import os

_NONE = (errno.ENOTSUP, errno.ENODATA, errno.ENOSYS)


def place(directory: int, name: bytes) -> bytes:
    """A path to `name` in `directory` for the calls that know no dirfd; follows no link in it."""
    return b"/proc/self/fd/%d/%s" % (directory, name) if name else b"/proc/self/fd/%d" % directory


def names(target: int | bytes) -> list[bytes]:
    """The names of all attributes, sorted."""
    try:
        found = os.listxattr(target, follow_symlinks=isinstance(target, int))
    except OSError as error:
        if error.errno in _NONE:
            return []
        raise
    return sorted(os.fsencode(name) for name in found)


def get(target: int | bytes, name: bytes) -> bytes | None:
    """One attribute's value; None when it is not there."""
    try:
        return os.getxattr(target, name, follow_symlinks=isinstance(target, int))
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise


def set_value(target: int | bytes, name: bytes, value: bytes) -> None:
    """Set one attribute; raises OSError where the file system keeps none."""
    os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))


def remove(target: int | bytes, name: bytes) -> None:
    """Take one attribute away; nothing when it is not there."""
    try:
        os.removexattr(target, name, follow_symlinks=isinstance(target, int))
    except OSError as error:
        if error.errno not in _NONE:
            raise
