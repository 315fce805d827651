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


class Watch:
    """Waits for the end of one container, and tells its exit status."""

    def __init__(
        self, store: ContainerStore, stored: StoredContainer, process: int | None, record: int
    ) -> None:
        self._store = store
        self._stored = stored
        self._process = process
        self._record = record

    def __call__(self) -> int:
        """Its exit status once it has ended, as a shell shows it."""
        row = self._stored.row
        if not self._stored.is_up or row.pid is None:
            return row.exit_code or 0
        if self._process is not None:
            ended(self._process, None)
        return _status_after(self._store, self._stored, self._record)

    def until(self, bell: int) -> bool:
        """Wait for its end, or until the descriptor `bell` is readable; whether it has ended."""
        if self._process is None:
            return True
        poller = select.poll()
        poller.register(self._process, select.POLLIN)
        poller.register(bell, select.POLLIN)
        return self._process in dict(poller.poll())


@contextmanager
def watched(store: ContainerStore, stored: StoredContainer) -> Iterator[Watch]:
    """Gives what waits for the container's end and tells its exit status.

    Also of a container that is removed then: how it ended is looked for in what is opened now. At
    once when it does not run.
    """
    row = stored.row
    if not stored.is_up or row.pid is None:
        yield Watch(store, stored, None, -1)
        return
    record = _open_record(store, row.id)
    try:
        with handle(row.pid, row.start_time) as process:
            yield Watch(store, stored, process, record)
    finally:
        if record >= 0:
            os.close(record)


def _open_record(store: ContainerStore, container: ContainerID) -> int:
    """Opened before the end: it can be read when the container is removed; -1 for none."""
    try:
        path = os.path.join(store.folder(container), exits.NAME)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _status_after(store: ContainerStore, stored: StoredContainer, record: int) -> int:
    said = exits.parse(os.pread(record, 4096, 0)) if record >= 0 else None
    if said is not None and said.is_of(stored.row):
        return said.exit_code
    try:
        with store.alone(stored.row.id, _PATIENCE) as now:  # its command records how it ended
            return now.row.exit_code or 0
    except ContainerNotFound:
        raise ContainerNotFound(
            f"the container {stored.row.name} was removed, its exit status with it"
        ) from None


def end_restarts(store: ContainerStore, stored: StoredContainer) -> None:
    """See that it is not started again when it has ended."""
    if stored.settings.lasting.restarts:
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
    store: ContainerStore, stored: StoredContainer, number: int, patience: float | None
) -> None:
    """Send it a signal, and kill it when it has not ended after so many seconds (None: never).

    Waits for its end. Nothing when it does not run.
    """
    row = stored.row
    if not stored.is_up or row.pid is None:
        return
    with handle(row.pid, row.start_time) as keeper:
        if keeper is None:
            return
        end_restarts(store, stored)
        _signal(store, stored, number)
        send(
            keeper, signal.SIGTERM
        )  # one that waits to start it again wakes up; others hear nothing
        if stored.status == "paused":
            unpause(store, stored)  # or it could not do what it is asked to
        if not ended(keeper, patience):
            _kill_hard(store, stored, keeper)
    with suppress(ContainerNotFound), store.alone(row.id, _PATIENCE):  # what kept it is gone, too
        store.settle(row.id)
    store.announce(row, "stop")


def _kill_hard(store: ContainerStore, stored: StoredContainer, keeper: int) -> None:
    """Its first process, so that its end is recorded; else what keeps it."""
    _signal(store, stored, signal.SIGKILL)
    if not ended(keeper, _KILL_PATIENCE):
        send(keeper, signal.SIGKILL)
        ended(keeper, _KILL_PATIENCE)
