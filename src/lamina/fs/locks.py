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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lamina.errors import LockHeld

_POLL = 0.02  # seconds between tries of a lock that may only be waited for so long
_MOMENT = 0.001  # seconds after which somebody's probe (`is_held`) is no longer in the way
_PROBES = 3


class Rank(enum.IntEnum):
    """The order in which one thread may take locks; LEASE stands outside of it."""

    LEASE = 0
    STORE = 1
    STEP = 2
    CONTAINER = 3
    LAYER = 4
    BLOB = 5
    DATABASE = 6
    MOUNTS = 7


class _Held(threading.local):
    def __init__(self) -> None:
        self.ranks: list[Rank] = []


_held = _Held()


class FileLock:
    """One lock file; not re-entrant. Used as `with lock.exclusive():` or `.shared()`.

    Threads may use one `FileLock`: they exclude each other as processes do.
    """

    def __init__(self, path: str, rank: Rank) -> None:
        self.path = path
        self.rank = rank
        self._taken: list[tuple[int, list[Rank]]] = []  # descriptor, ranks of the taker's thread

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
        """Take the lock; waits for ever without `timeout`, not at all with 0.

        Raises `LockHeld` or OSError; AssertionError for a lock that is out of order.
        """
        self._assert_order()
        self._acquire(shared=shared, timeout=timeout)

    def _acquire(self, *, shared: bool, timeout: float | None) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout, self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self._taken.append((descriptor, _held.ranks))
        if self.rank is not Rank.LEASE:
            _held.ranks.append(self.rank)

    def _assert_order(self) -> None:
        highest = max(_held.ranks, default=Rank.LEASE)
        if self.rank is not Rank.LEASE and self.rank <= highest:
            raise AssertionError(f"lock order: {self.rank.name} after {highest.name} ({self.path})")

    def release(self) -> None:
        """Let go, also of what another thread took; nothing when it is not held."""
        if not self._taken:
            return
        own = (each for each in self._taken if each[1] is _held.ranks)
        taken = next(own, self._taken[-1])
        self._taken.remove(taken)
        descriptor, ranks = taken
        os.close(descriptor)
        if self.rank in ranks:
            ranks.remove(self.rank)

    @property
    def descriptor(self) -> int:
        """Of the held lock: a program that inherits it holds the lock until it ends, too."""
        return self._taken[-1][0]

    @staticmethod
    def is_held(path: str) -> bool:
        """Whether any process holds the lock file at `path` now, alone or shared."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _is_free(descriptor)
        finally:
            os.close(descriptor)


def hold_shared(path: str, timeout: float) -> int:
    """A descriptor that holds the lock at `path` shared, for as long as any copy of it is open.

    It may be handed on to a program, which then holds the lock as well. Outside of the order, as
    a LEASE. Raises `LockHeld` after `timeout` seconds, or OSError.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor, fcntl.LOCK_SH, timeout, path)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # its last holder took it away: make it anew
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def alone(descriptor: int, path: str, timeout: float) -> Iterator[None]:
    """Turn a shared hold on `path` into one that nobody else has, for the block's time.

    On the way the shared hold is given up for moments. Raises `LockHeld` after `timeout` seconds,
    and has the shared one again.
    """
    try:
        _take(descriptor, fcntl.LOCK_EX, timeout, path)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def together(
    paths: Iterable[str], rank: Rank, timeout: float | None = None
) -> Iterator[Callable[[str], None]]:
    """Hold several locks of one rank alone, taken in the order of their paths.

    Gives a function that lets one go early, for good. `timeout` seconds are waited for each.
    Raises `LockHeld`, and then holds none.
    """
    locks = {path: FileLock(path, rank) for path in sorted(set(paths))}
    try:
        for number, lock in enumerate(locks.values()):
            if not number:
                lock._assert_order()
            lock._acquire(shared=False, timeout=timeout)
        yield lambda path: locks[path].release()
    finally:
        for lock in reversed(locks.values()):
            lock.release()


def _is_free(descriptor: int) -> bool:
    """Try to take it; another probe is in the way only for a moment, a holder stays."""
    for _ in range(_PROBES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_MOMENT)
        else:
            return True
    return False


def _take(descriptor: int, how: int, timeout: float | None, path: str) -> None:
    if timeout is None:
        fcntl.flock(descriptor, how)
        return
    limit = time.monotonic() + max(timeout, _PROBES * _MOMENT)
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() >= limit:
                waited = f" and did not let go within {timeout:g} seconds" if timeout else ""
                raise LockHeld(
                    f"another process holds {path}{waited}", hint="wait for it or end it"
                ) from None
            time.sleep(_POLL if timeout else _MOMENT)
        else:
            return
