"""Where a probe tries things: a folder beside or in a driver's home that is gone afterwards.

One prober at a time in a place, by a lock on the place itself; so what is found there under that
lock was left by a killed one, and is cleared away. Knows nothing of what is tried.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.fs.remove import remove_tree

_PREFIX = ".probe-"


@contextmanager
def scratch(home: str, *folders: str) -> Iterator[str]:
    """A fresh folder in `home`, or beside it where that is yet to be made; `folders` are in it.

    Raises OSError where nothing can be written.
    """
    base = home if os.path.isdir(home) else os.path.dirname(home)
    place = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        _clear(base)
        path = os.path.join(base, f"{_PREFIX}{os.urandom(4).hex()}")
        os.mkdir(path, 0o700)
        try:
            for name in folders:
                os.mkdir(os.path.join(path, name))
            yield path
        finally:
            remove_tree(path)
    finally:
        os.close(place)


def clear(home: str) -> None:
    """Take away what a killed prober left in `home`; raises OSError or `StorageError`."""
    place = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        _clear(home)
    finally:
        os.close(place)


def _clear(base: str) -> None:
    for name in os.listdir(base):
        if name.startswith(_PREFIX):
            remove_tree(os.path.join(base, name))
