"""Commands that are executed in containers for this server's clients, from their making on.

They live in this process alone, as they do in docker's daemon: who makes one asks for it here.
"""

import os
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from lamina.containers.executing import Order
from lamina.errors import Conflict, NotFound
from lamina.execution.inside import resize_terminal
from lamina.execution.running import Running

_MOST = 1024  # that are remembered
_PATIENCE = 5.0  # seconds for a runtime to make a terminal
_LOOK = 0.01  # seconds between two looks for it


class Ask(NamedTuple):
    """What is to be executed where, and what of it its client wants to be attached to."""

    container: str
    order: Order
    stdin: bool
    stdout: bool
    stderr: bool
    keys: str


class Exec:
    """One of them: not started, running, or ended with a status."""

    def __init__(self, ask: Ask) -> None:
        self.id = os.urandom(32).hex()
        self.ask = ask
        self.code: int | None = None
        self.running: Running | None = None
        self._turn = threading.Lock()
        self._begun = False

    def begin(self) -> None:
        """It is being started, once; raises `Conflict` when it was."""
        with self._turn:
            if self._begun:
                raise Conflict(f"the exec {self.id[:12]} was started already")
            self._begun = True

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._begun and self.code is None

    def end(self, code: int) -> None:
        """It has ended, or could not be started."""
        self.code = code
        self.running = None

    def resize(self, size: os.terminal_size) -> None:
        """Give its terminal another size, once that is there; nothing when it has ended."""
        limit = time.monotonic() + _PATIENCE
        while self._begun and self.code is None and time.monotonic() < limit:
            running = self.running
            if running is not None and resize_terminal(running.child, size):
                return
            time.sleep(_LOOK)  # docker's client asks while the runtime is still making it


class Execs:
    """All that are remembered; the oldest that have ended are forgotten first."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._known: OrderedDict[str, Exec] = OrderedDict()

    def add(self, ask: Ask) -> Exec:
        """A new one; raises `Conflict` when too many run."""
        made = Exec(ask)
        with self._turn:
            if len(self._known) >= _MOST:
                self._forget_one()
            self._known[made.id] = made
        return made

    def _forget_one(self) -> None:
        for each in self._known.values():
            if not each.is_running:
                del self._known[each.id]
                return
        raise Conflict(f"{_MOST} commands run by exec already")

    def get(self, text: str) -> Exec:
        """The one of that ID, or of that beginning of one; raises `NotFound`."""
        with self._turn:
            found = [each for name, each in self._known.items() if name.startswith(text)]
        if len(found) != 1:
            raise NotFound(f"No such exec instance: {text}")
        return found[0]

    def of(self, container: str) -> list[str]:
        """The IDs of those that run in a container."""
        with self._turn:
            return [
                each.id
                for each in self._known.values()
                if each.ask.container == container and each.is_running
            ]
