"""Who waits, in this server, for containers to be started: those attached beforehand, and waits.

`docker run` attaches and waits before it starts. Whoever starts a container here lets them all
connect before anything of it runs, so that neither a word nor the end of a short one is missed. A
start by another process is seen by looking, a little later.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PATIENCE = 5.0  # seconds for all those who wait to be ready before a start goes on


class Waiter:
    """One who waits for a start; it tells when it has made itself ready for what follows."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.ready = threading.Event()
        self.path = ""  # of the socket at which one attaches
        self.code: int | None = None  # of a start that failed

    def ring(self) -> None:
        """Wake it."""
        with suppress(OSError):  # it has given up
            os.eventfd_write(self.bell, 1)


class Hub:
    """All of them, by the container's ID."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting: dict[str, list[Waiter]] = {}

    @contextmanager
    def waiter(self, container: str) -> Iterator[Waiter]:
        """Wait for the next start of a container; its `bell` is readable then."""
        waiter = Waiter()
        with self._turn:
            self._waiting.setdefault(container, []).append(waiter)
        try:
            yield waiter
        finally:
            waiter.ready.set()
            with self._turn:
                self._forget(container, waiter)
                os.close(waiter.bell)
                waiter.bell = -1

    def _forget(self, container: str, waiter: Waiter) -> None:
        left = [each for each in self._waiting.get(container, ()) if each is not waiter]
        if left:
            self._waiting[container] = left
        else:
            self._waiting.pop(container, None)

    def starting(self, container: str, path: str) -> None:
        """A container is about to run: let all who wait for that make themselves ready."""
        limit = time.monotonic() + _PATIENCE
        for each in self._told(container, path=path):
            each.ready.wait(max(limit - time.monotonic(), 0.0))

    def failed(self, container: str, code: int) -> None:
        """It could not be started, or is gone: whoever waits for that waits no longer."""
        self._told(container, code=code)

    def _told(self, container: str, *, path: str = "", code: int | None = None) -> list[Waiter]:
        with self._turn:
            waiting = list(self._waiting.get(container, ()))
            for each in waiting:
                each.path, each.code = path, code
                each.ring()
        return waiting
