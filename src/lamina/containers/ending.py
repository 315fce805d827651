"""The end of running containers: waiting for it, and bringing it about.

Signals go to a container's first process, by a descriptor of it; whoever keeps the container (its
monitor, or the command in whose foreground it runs) records how it ended.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lamina.containers.holding import unpause
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import ContainerNotFound, NotRunning
from lamina.fs.processes import ended, handle, send
from lamina.metadata import exits
from lamina.values.ids import ContainerID

_PATIENCE = 10.0  # seconds for whoever keeps an ended container to clear up
_ENDING = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_KILL_PATIENCE = 10.0  # seconds for a killed process to be gone
_LOOK = 1.0  # seconds between two looks where nobody can tell us of changes


class Watch:
    """Waits for an end of one container, and tells its exit status.

    `runs` are the ends that one which is started again and again has to come to; None where its
    last one is waited for. `news` becomes readable when one is written down, if it is there.
    """

    def __init__(
        self,
        store: ContainerStore,
        stored: StoredContainer,
        process: int | None,
        record: int,
        runs: int | None = None,
        news: int = -1,
    ) -> None:
        self._store = store
        self._stored = stored
        self._process = process
        self._record = record
        self._runs = runs
        self._news = news

    def __call__(self) -> int:
        """Its exit status once it has ended, as a shell shows it."""
        row = self._stored.row
        if not self._stored.is_up or row.pid is None:
            return row.exit_code or 0
        self.until()
        record = self._written()
        if record is not None and (record.is_final or self._is_reached(record)):
            return record.exit_code
        return _status_after(self._store, self._stored)

    def until(self, bell: int | None = None) -> bool:
        """Wait for its end, or until the descriptor `bell` is readable; whether it has ended."""
        if self._process is None:
            return True
        poller = select.poll()
        for each in (self._process, self._news, -1 if bell is None else bell):
            if each >= 0:
                poller.register(each, select.POLLIN)
        patience = _LOOK * 1000 if self._runs is not None and self._news < 0 else None
        while not self._is_reached(self._written()):
            ready = dict(poller.poll(patience))
            if self._process in ready:
                return True
            if bell in ready:
                return False
            if self._news in ready:
                self._heard()
        return True

    def _heard(self) -> None:
        from lamina.kernel import inotify  # few are started again

        inotify.drain(self._news)

    def _written(self) -> exits.Record | None:
        return _written(self._record, self._stored)

    def _is_reached(self, record: exits.Record | None) -> bool:
        return self._runs is not None and record is not None and record.ends >= self._runs


@contextmanager
def watched(
    store: ContainerStore, stored: StoredContainer, *, last: bool = False
) -> Iterator[Watch]:
    """Gives what waits for the container's end and tells its exit status.

    Also of a container that is removed then: how it ended is looked for in what is opened now. At
    once when it does not run. One that is started again is waited for to its next end, or to its
    `last`.
    """
    row = stored.row
    if not stored.is_up or row.pid is None:
        yield Watch(store, stored, None, -1)
        return
    record = _open_record(store, row.id)
    runs, news = None, -1
    try:
        if stored.settings.lasting.restarts and not last and record >= 0:
            news = _news_of(record)
            written = _written(record, stored)
            runs = 1 + (written.ends if written is not None else 0)
        with handle(row.pid, row.start_time) as process:
            yield Watch(store, stored, process, record, runs, news)
    finally:
        for each in (record, news):
            if each >= 0:
                os.close(each)


def _news_of(record: int) -> int:
    """A descriptor that is readable when it is written to; -1 where none is to be had."""
    from lamina.kernel import inotify  # few are started again

    with suppress(OSError):
        return inotify.watch(f"/proc/self/fd/{record}", inotify.MODIFY)
    return -1


def _written(record: int, stored: StoredContainer) -> exits.Record | None:
    """What an open record says of the start that is meant."""
    found = exits.parse(os.pread(record, 4096, 0)) if record >= 0 else None
    return found if found is not None and found.is_of(stored.row) else None


def _open_record(store: ContainerStore, container: ContainerID) -> int:
    """Opened before the end: it can be read when the container is removed; -1 for none."""
    try:
        path = os.path.join(store.folder(container), exits.NAME)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _status_after(store: ContainerStore, stored: StoredContainer) -> int:
    try:
        with store.alone(stored.row.id, _PATIENCE) as now:  # its command records how it ended
            return now.row.exit_code or 0
    except ContainerNotFound:
        raise ContainerNotFound(
            f"the container {stored.row.name} was removed, its exit status with it"
        ) from None


def end_restarts(store: ContainerStore, stored: StoredContainer) -> None:
    """See that it is not started again when it has ended."""
    changed = os.path.exists(store.policy_mark(stored.row.id))
    if not stored.settings.lasting.restarts and not changed:
        return
    with suppress(FileNotFoundError):  # its room is gone: it has ended
        path = store.stop_mark(stored.row.id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(path, flags, 0o600))


def signal_to(store: ContainerStore, stored: StoredContainer, number: int) -> None:
    """Send its first process a signal; raises `NotRunning`.

    Whom it asks to end is not started again.
    """
    if number in _ENDING:
        end_restarts(store, stored)
    if not _signal(store, stored, number):
        raise NotRunning(f"the container {stored.row.name} is not running", hint="start it first")


def _signal(store: ContainerStore, stored: StoredContainer, number: int) -> bool:
    from lamina.execution.inside import first_process

    row = stored.row
    if not stored.is_up or row.pid is None:
        return False
    with handle(row.pid, row.start_time) as keeper:
        if keeper is None:
            return False
        first = first_process(row.pid, store.root_path(row.id))
        if first is None:
            return False
        store.announce(row, "kill", signal=str(number))  # before what comes of it is told
        try:
            return send(first, number)
        finally:
            os.close(first)


def stop(
    store: ContainerStore,
    stored: StoredContainer,
    number: int,
    patience: float | None,
    bell: int | None = None,
) -> bool:
    """Send it a signal, and kill it when it has not ended after so many seconds (None: never).

    Waits for its end; where it may take for ever, only until the descriptor `bell` is readable:
    whether it has ended. Nothing when it does not run.
    """
    row = stored.row
    if not stored.is_up or row.pid is None:
        return True
    with handle(row.pid, row.start_time) as keeper:
        if keeper is None:
            return True
        end_restarts(store, stored)
        _signal(store, stored, number)
        send(
            keeper, signal.SIGTERM
        )  # one that waits to start it again wakes up; others hear nothing
        if stored.status == "paused":
            unpause(store, stored)  # or it could not do what it is asked to
        if patience is None:
            if not _ended_before(keeper, bell):
                return False
        elif not ended(keeper, patience):
            _kill_hard(store, stored, keeper)
    with suppress(ContainerNotFound), store.alone(row.id, _PATIENCE):  # what kept it is gone, too
        store.settle(row.id)
    store.announce(row, "stop")
    return True


def _ended_before(keeper: int, bell: int | None) -> bool:
    """Wait until it has ended, or the bell is readable; whether it has ended."""
    poller = select.poll()
    for each in (keeper, *(() if bell is None else (bell,))):
        poller.register(each, select.POLLIN)
    return keeper in dict(poller.poll())


def _kill_hard(store: ContainerStore, stored: StoredContainer, keeper: int) -> None:
    """Its first process, so that its end is recorded; else what keeps it."""
    _signal(store, stored, signal.SIGKILL)
    if not ended(keeper, _KILL_PATIENCE):
        send(keeper, signal.SIGKILL)
        ended(keeper, _KILL_PATIENCE)
