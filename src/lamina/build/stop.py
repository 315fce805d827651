"""The end of a build before its time, told to all that goes on for it.

A build that works on several stages at once is stopped by the first that fails, and by who waits
for it (Ctrl-C). What takes long asks now and then; what waits for others says how to cut it short.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamina.errors import LaminaError, LockHeld
from lamina.fs.locks import FileLock

_LOOK = 0.2  # seconds of waiting, after which somebody looks whether there is still need


class Stopped(LaminaError):
    """That work was given up, because other work failed; never seen by who asked for a build."""


class NotBrought(LaminaError):
    """That layers which were known of are not to be had; never seen by who asked for a build.

    The attempt ends, and the build begins again and believes less.
    """


class Stop:
    """Whether a build is to end; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._cuts: dict[int, Callable[[], None]] = {}
        self._next = 0

    def ask(self) -> None:
        """Let everything end; whoever said how is cut short."""
        with self._lock:
            self._asked = True
            cuts, self._cuts = list(self._cuts.values()), {}
            for cut in cuts:
                cut()

    @property
    def is_asked(self) -> bool:
        """Whether the build is to end."""
        return self._asked

    def check(self) -> None:
        """Raise `Stopped` when the build is to end."""
        if self._asked:
            raise Stopped("the step was given up: another one failed")

    def wait_for(self, lock: FileLock, *, shared: bool = False) -> None:
        """Take a lock between processes, however long that takes; raises `Stopped`."""
        while True:
            self.check()
            try:
                return lock.acquire(shared=shared, timeout=_LOOK)
            except LockHeld:
                continue

    @contextmanager
    def cutting(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` when the build is to end within the block, or is to already."""
        with self._lock:
            number = self._next = self._next + 1
            self._cuts[number] = cut
            if self._asked:
                del self._cuts[number]
                cut()
        try:
            yield
        finally:
            with self._lock:
                self._cuts.pop(number, None)
