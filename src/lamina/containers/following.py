"""What has happened in a store, and what happens while one looks.

Nobody tells us: every event is in the database, and the kernel says when its log is written to
(inotify). The end of a detached container is written there by whoever notices it first; so that
it is told at once, we wait for those who keep containers, too.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from lamina.containers.store import ContainerStore
from lamina.errors import ContainerNotFound, InUse, StorageError
from lamina.fs.processes import start_time
from lamina.kernel import inotify
from lamina.metadata import containers, events, journal
from lamina.metadata.events import LifecycleEvent
from lamina.values.closing import Closing
from lamina.values.ids import ContainerID

_LOOK = 1.0  # seconds between two looks where nobody can tell us of changes
_MOMENT = 0.05  # seconds for whoever is about to write down a container's end himself
_SECOND = 1_000_000_000


class Following(Closing):
    """Events from `since` (seconds since the epoch; None: from now on) before `until` (None: ever).

    What happens from the making of this on is not missed. `close` may be called from any thread,
    and ends a wait; so does the end of what is iterated over.
    """

    def __init__(self, store: ContainerStore, since: float | None, until: float | None) -> None:
        self._store = store
        self._root = store.layers.root
        self._since = 0 if since is None else round(since * _SECOND)
        self._until = None if until is None else round(until * _SECOND)
        self._found: deque[LifecycleEvent] = deque()
        self._turn = threading.Lock()
        self._is_closed = False
        self._wakened = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watch = -1
        with suppress(OSError):  # no more watches are to be had: looked at now and then instead
            self._watch = inotify.watch(self._root.path, inotify.MODIFY)
        self._keepers: dict[int, ContainerID] = {}  # descriptors of processes
        self._ending: set[ContainerID] = set()
        self._telling: dict[ContainerID, str] = {}  # those whose monitors keep a journal
        self._is_blind = self._watch < 0
        try:
            self._settle_past()
            with self._root.database.read() as db:
                self._last = events.newest(db) if since is None else 0
            self._take_keepers()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[LifecycleEvent]:
        return self

    def __next__(self) -> LifecycleEvent:
        with self._turn:
            while not self._found:
                if self._is_closed or not self._look():
                    raise StopIteration
            return self._found.popleft()

    def close(self) -> None:
        """Hear no more."""
        if self._is_closed:
            return
        self._is_closed = True
        os.eventfd_write(self._wakened, 1)
        with self._turn:
            for each in (self._wakened, self._watch, *self._keepers):
                if each >= 0:
                    os.close(each)
            self._keepers.clear()

    def _look(self) -> bool:
        """Take what is there, or wait until there may be more; False when nothing more can come."""
        if self._watch >= 0:
            inotify.drain(self._watch)
            self._root.database.await_writer()  # or what we were told of might not be seen yet
        self._settle()
        self._take_in()
        now = time.time_ns()
        with self._root.database.read() as db:
            new = events.after(db, self._last)
        if new:
            self._last = new[-1].id
        if any(each.action in ("start", "update") for each in new):
            self._take_keepers()
        wanted = (each for each in new if self._is_wanted(each))
        self._found += sorted(wanted, key=lambda each: each.time)  # ends may be noticed late
        if self._until is not None and now >= self._until:
            return bool(self._found)
        if not new:
            self._wait()
        return True

    def _is_wanted(self, event: LifecycleEvent) -> bool:
        return event.time >= self._since and (self._until is None or event.time < self._until)

    def _wait(self) -> None:
        poller = select.poll()
        for descriptor in (self._wakened, self._watch, *self._keepers):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        limits = []
        if self._until is not None:
            limits.append(max(0.0, (self._until - time.time_ns()) / _SECOND))
        if self._ending:
            limits.append(_MOMENT)
        if self._is_blind:
            limits.append(_LOOK)
        for descriptor, _ in poller.poll(min(limits) * 1000 + 1 if limits else None):
            if descriptor in self._keepers:
                self._ending.add(self._keepers.pop(descriptor))
                os.close(descriptor)

    # --- containers that end ----------------------------------------------------------------

    def _take_keepers(self) -> None:
        """Wait for the ends of those that run by now, too."""
        with self._root.database.read() as db:
            rows = containers.begun(db)
        known = set(self._keepers.values())
        for row in rows:
            if journal.is_there(self._store.folder(row.id)):
                self._telling[row.id] = self._store.folder(row.id)
            if row.pid is None or row.id in known or row.boot_id != self._root.boot_id:
                continue
            try:
                keeper = os.pidfd_open(row.pid)
            except ProcessLookupError:
                self._ending.add(row.id)
                continue
            except OSError:  # no more descriptors are to be had
                self._is_blind = True
                return
            if start_time(row.pid) == row.start_time:
                self._keepers[keeper] = row.id
            else:
                os.close(keeper)
                self._ending.add(row.id)

    def _take_in(self) -> None:
        """Take in what monitors have told, and see that we are woken when they tell more."""
        for container, folder in list(self._telling.items()):
            path = os.path.join(folder, journal.NAME)
            with suppress(OSError):
                inotify.add(self._watch, path, inotify.MODIFY | inotify.MOVED_SELF)
            with self._root.database.read() as db:
                row = containers.get(db, container)
                is_new = row is not None and journal.has_news(db, row, folder)
            if row is None or row.pid is None:
                del self._telling[container]
            elif is_new:
                with suppress(StorageError), self._root.database.write() as db:
                    self._store.fold(db, row)

    def _settle_past(self) -> None:
        with self._root.database.read() as db:
            rows = containers.begun(db)
        for row in rows:
            here = row.pid is not None and row.boot_id == self._root.boot_id
            if not here or start_time(row.pid or 0) != row.start_time:
                self._ending.add(row.id)
        self._settle()

    def _settle(self) -> None:
        """Write ends down, but of those whom somebody has to himself: he does it, or has yet to."""
        if self._is_blind:
            self._take_keepers()
        for container in list(self._ending):
            try:
                with self._store.alone(container, 0):
                    self._store.settle(container)
            except InUse:
                continue
            except ContainerNotFound:
                pass
            self._ending.remove(container)
