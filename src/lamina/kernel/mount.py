"""Mounting, by the new mount API (Linux 5.2, fsopen(2)) and by the classic mount(2).

Every function is one call and raises OSError in the kernel's own words: for a file system
context these are read from the context's log. Descriptors are close-on-exec.
"""

import errno
import os

from lamina.kernel.libc import (
    FSCONFIG,
    FSMOUNT,
    FSOPEN,
    MOUNT_SETATTR,
    MOVE_MOUNT,
    OPEN_TREE,
    buffer,
    errno_now,
    fail,
    libc_call,
    syscall,
)

AT_FDCWD = -100  # include/uapi/linux/fcntl.h
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# include/uapi/linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _SET_FD, _CMD_CREATE = 0, 1, 5, 6
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
OPTIONS_LIMIT = 4095  # mount(2) takes one page and cuts what is longer, without a word


def fsopen(name: str) -> int:
    """A context for making a file system of that type."""
    descriptor = syscall(FSOPEN, name.encode(), _FSOPEN_CLOEXEC)
    if descriptor < 0:
        raise fail("fsopen", name)
    return descriptor


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set a parameter to a text; the kernel takes at most 255 bytes."""
    if syscall(FSCONFIG, context, _SET_STRING, key.encode(), os.fsencode(value), 0) < 0:
        raise _told(context, f"fsconfig {key}", value)


def fsconfig_flag(context: int, key: str) -> None:
    """Set a parameter that has no value."""
    if syscall(FSCONFIG, context, _SET_FLAG, key.encode(), None, 0) < 0:
        raise _told(context, f"fsconfig {key}", key)


def fsconfig_fd(context: int, key: str, descriptor: int) -> None:
    """Set a parameter to what a descriptor names (overlayfs: Linux 6.13)."""
    if syscall(FSCONFIG, context, _SET_FD, key.encode(), None, descriptor) < 0:
        raise _told(context, f"fsconfig {key}", f"descriptor {descriptor}")


def fsconfig_create(context: int) -> None:
    """Make the file system that the context describes."""
    if syscall(FSCONFIG, context, _CMD_CREATE, None, None, 0) < 0:
        raise _told(context, "mount")


def fsmount(context: int, attributes: int = 0) -> int:
    """A detached mount of it: usable by its descriptor, gone when that is closed."""
    descriptor = syscall(FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)
    if descriptor < 0:
        raise _told(context, "fsmount")
    return descriptor


def move_mount(mount: int, target: str | bytes) -> None:
    """Attach a detached mount at `target` in the caller's mount namespace."""
    path = os.fsencode(target)
    if syscall(MOVE_MOUNT, mount, b"", AT_FDCWD, path, _MOVE_MOUNT_F_EMPTY_PATH) < 0:
        raise fail("move_mount", path)


def move_mount_to(mount: int, place: int) -> None:
    """Attach a detached mount where the descriptor `place` points: no path is walked."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    if syscall(MOVE_MOUNT, mount, b"", place, b"", flags) < 0:
        raise fail("move_mount")


def open_tree_clone(path: str | bytes, *, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` (a bind mount that is nowhere yet)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    descriptor = syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), flags)
    if descriptor < 0:
        raise fail("open_tree", path)
    return descriptor


def mount_setattr(mount: int, attributes: int, *, recursive: bool = False) -> None:
    """Set attributes (MOUNT_ATTR_*) of a detached mount."""
    structure = attributes.to_bytes(8, "little") + bytes(24)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    given = buffer(structure)
    if syscall(MOUNT_SETATTR, mount, b"", flags, given, len(structure)) < 0:
        raise fail("mount_setattr")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """The classic call; refuses options that the kernel would cut."""
    if len(os.fsencode(options)) >= OPTIONS_LIMIT:
        raise OSError(errno.E2BIG, "mount: options over 4,095 bytes would be cut off", target)
    data = os.fsencode(options) if options else None
    result = libc_call(
        "mount", os.fsencode(source), os.fsencode(target), kind.encode(), flags, data
    )
    if result < 0:
        raise fail("mount", target)


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Unmount; by default also while it is in use (it goes with its last user)."""
    if libc_call("umount2", os.fsencode(target), flags) < 0:
        raise fail("umount", target)


def enter_new_root(old: str) -> None:
    """Make the current directory, which must be a mount, the root; the old one goes to `old`.

    pivot_root(2), with `old` a directory in the new root; then unmounts and removes it.
    """
    if libc_call("pivot_root", b".", os.fsencode(old)) < 0:
        raise fail("pivot_root")
    umount(f"/{old}")
    os.rmdir(f"/{old}")


def context_log(context: int) -> str:
    """What the kernel has to say about a context; reading it takes it away."""
    words = []
    try:
        while line := os.read(context, 8192):
            # each message starts with its level: e(rror), w(arning) or i(nformation)
            words.append(line.decode(errors="replace").strip()[2:])
    except OSError:
        pass  # ENODATA: no more to say
    return "; ".join(words)


def _told(context: int, call: str, subject: str | None = None) -> OSError:
    """The error for errno, with the kernel's own words where the context's log holds some."""
    number = errno_now()
    said = context_log(context)
    words = f"{call}: {os.strerror(number)}" + (f" ({said})" if said else "")
    return OSError(number, words, subject) if subject is not None else OSError(number, words)
