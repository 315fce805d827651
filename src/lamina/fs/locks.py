"""Locks between processes that die with their holder, taken in one declared order.

`flock` on files that are never unlinked while they can be wanted. Taking a lock of a lower or
equal rank than one that this thread holds could deadlock with another process, so it is refused
on the spot, as a bug. Lock files are opened close-on-exec: a container inherits none.
"""

import enum
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import LockHeld

_POLL = 0.02  # seconds between tries of a lock that may only be waited for so long


class Rank(enum.IntEnum):
    """The order in which one thread may take locks; LEASE stands outside of it."""

    LEASE = 0
    STORE = 1
    STEP = 2
    CONTAINER = 3
    LAYER = 4
    BLOB = 5
    DATABASE = 6


class _Held(threading.local):
    def __init__(self) -> None:
        self.ranks: list[Rank] = []


_held = _Held()


class FileLock:
    """One lock file; not re-entrant. Used as `with lock.exclusive():` or `.shared()`."""

    def __init__(self, path: str, rank: Rank) -> None:
        self.path = path
        self.rank = rank
        self._descriptor = -1

    @contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the lock alone; waits `timeout` seconds at most. Raises `LockHeld`."""
        self.acquire(timeout=timeout)
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def shared(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the lock with others that hold it shared. Raises `LockHeld`."""
        self.acquire(shared=True, timeout=timeout)
        try:
            yield
        finally:
            self.release()

    def acquire(self, *, shared: bool = False, timeout: float | None = None) -> None:
        """Take the lock; waits for ever without `timeout`. Raises `LockHeld` or OSError."""
        self._assert_order()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout, self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if self.rank is not Rank.LEASE:
            _held.ranks.append(self.rank)

    def _assert_order(self) -> None:
        highest = max(_held.ranks, default=Rank.LEASE)
        if self.rank is not Rank.LEASE and self.rank <= highest:
            raise AssertionError(f"lock order: {self.rank.name} after {highest.name} ({self.path})")

    def release(self) -> None:
        """Let go; nothing when it is not held."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if self.rank is not Rank.LEASE and self.rank in _held.ranks:
            _held.ranks.remove(self.rank)

    @staticmethod
    def is_held(path: str) -> bool:
        """Whether any process holds the lock file at `path` now."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _take(descriptor: int, how: int, timeout: float | None, path: str) -> None:
    if timeout is None:
        fcntl.flock(descriptor, how)
        return
    limit = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() >= limit:
                raise LockHeld(
                    f"another process has held {path} for {timeout:g} seconds",
                    hint="wait for it or end it",
                ) from None
            time.sleep(_POLL)
        else:
            return
