"""Being told of changes in a directory (inotify(7))."""

import os

from lamina.kernel.libc import fail, libc_call

# include/uapi/linux/inotify.h
MODIFY = 0x002
MOVED = 0x040 | 0x080
CREATE = 0x100
MOVED_SELF = 0x800
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


def watch(path: str, events: int) -> int:
    """A descriptor that becomes readable after one of `events` in `path`; raises OSError."""
    descriptor = libc_call("inotify_init1", _NONBLOCK_CLOEXEC)
    if descriptor < 0:
        raise fail("inotify_init1")
    try:
        add(descriptor, path, events)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def add(descriptor: int, path: str, events: int) -> None:
    """Let a descriptor tell of `path`, too; once is enough. Raises OSError."""
    if libc_call("inotify_add_watch", descriptor, os.fsencode(path), events) < 0:
        raise fail("inotify_add_watch", path)


def drain(descriptor: int) -> None:
    """Take up what was told, so that the next change is seen again."""
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except BlockingIOError:
        pass
