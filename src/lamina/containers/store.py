"""The containers of one store: find them, have one to oneself, run one in the foreground.

Making is the business of lamina.containers.making, what lives without the command that started it
of lamina.containers.detached, and removing of lamina.containers.removing.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.results import Change
from lamina.containers.settings import Settings
from lamina.containers.state import Status, status
from lamina.containers.volumes import VolumeStore
from lamina.errors import (
    ContainerNotFound,
    InUse,
    LockHeld,
    RuntimeFailure,
    StorageError,
    StoreDamaged,
    from_oserror,
)
from lamina.fs.atomic import unlink_if_there
from lamina.fs.faults import crash_point
from lamina.fs.locks import FileLock, Rank
from lamina.fs.processes import start_time
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata import containers, exits
from lamina.metadata.containers import ContainerRow
from lamina.metadata.exits import KILLED, Record
from lamina.runtime.isolation import Isolation
from lamina.runtime.limits import OUT_OF_MEMORY
from lamina.runtime.process import Volume
from lamina.values.ids import ContainerID, LeaseID

if TYPE_CHECKING:  # what starts processes is loaded when one is started
    from lamina.execution.job import Job
    from lamina.execution.run import Exit, Running, Stdio

_MOMENT = 0.2  # seconds for a command that is about to be done with a container
_PATIENCE = 10.0  # seconds for a killed container's command to clear up


class StoredContainer(NamedTuple):
    """One container as it stands now."""

    row: ContainerRow
    settings: Settings
    status: Status

    @property
    def is_up(self) -> bool:
        """Whether it runs, or would go on if it were not paused."""
        return self.status in ("running", "paused", "restarting")


class ContainerStore:
    """Containers over `layers` and `images`; `run_root` is where their sockets and roots go."""

    def __init__(
        self, layer_store: LayerStore, image_store: ImageStore, isolation: Isolation, run_root: str
    ) -> None:
        self.layers = layer_store
        self.images = image_store
        self.isolation = isolation
        self.run_root = run_root
        self._root = layer_store.root
        self.volumes = VolumeStore(self._root)

    # --- finding ------------------------------------------------------------------------

    def all(self) -> tuple[StoredContainer, ...]:
        """Every container, newest first."""
        with self._root.database.read() as db:
            return tuple(self._stored(row) for row in containers.all_rows(db))

    def get(self, text: str) -> StoredContainer:
        """The container of that name, ID or unique ID prefix; raises `ContainerNotFound`."""
        with self._root.database.read() as db:
            found = containers.find(db, text.removeprefix("/"))
        if not found:
            raise ContainerNotFound(f"no such container: {text}", hint="see `lamina ps -a`")
        if len(found) > 1:
            raise ContainerNotFound(f"several containers' IDs begin with {text}: give more of it")
        return self._stored(found[0])

    def _stored(self, row: ContainerRow) -> StoredContainer:
        try:
            settings = Settings.from_json(row.settings)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreDamaged(
                f"the settings of the container {row.name} cannot be read: {error!r}",
                hint="another version of Lamina may have written them",
            ) from error
        last = self.last_end(row) if row.pid is not None else None
        if last is not None:
            row = _with_record(row, settings, last)
        now = status(row, self._root.boot_id)
        if now == "running" and last is not None and last.state == "waiting":
            now = "restarting"
        elif now == "running" and os.path.exists(self.pause_mark(row.id)):
            now = "paused"
        if now == "exited" and row.exit_code is None:
            row = row._replace(exit_code=KILLED)  # with what kept it, which could record no more
        return StoredContainer(row, settings, now)

    def last_end(self, row: ContainerRow) -> Record | None:
        """What the exit record of its folder says, if it tells of the start that the row knows of.

        One that is started again and again has ended before its end.
        """
        record = exits.latest(self.folder(row.id))
        return record if record is not None and record.is_of(row) else None

    def stop_mark(self, container: ContainerID) -> str:
        """The file that is there once it was asked to stop, and is not to be started again."""
        return os.path.join(self.run_root, container, "stopped")

    def policy_mark(self, container: ContainerID) -> str:
        """The file that has its restart policy, where that was changed since its start."""
        return os.path.join(self.run_root, container, "restart")

    def log_path(self, container: ContainerID) -> str:
        """Where what it writes is kept while it runs detached."""
        return os.path.join(self.folder(container), f"{container}-json.log")

    def pause_mark(self, container: ContainerID) -> str:
        """The file that is there while it is paused; it goes with the room of its start."""
        return os.path.join(self.run_root, container, "paused")

    def folder(self, container: ContainerID) -> str:
        """Where its log and its exit record lie, if it has any."""
        return self._root.folder(containers.FOLDER, container)

    # --- running ------------------------------------------------------------------------

    @contextmanager
    def started(self, container: ContainerID, stdio: "Stdio") -> "Iterator[Running]":
        """Start the container and give its running process; it is waited for at the end.

        Raises `RuntimeFailure` (125) or its kinds for a missing (127) or unusable (126)
        command; the failure is noted in the container's row.
        """
        with self.alone(container, _MOMENT) as stored:
            exits.forget(self.folder(container))
            try:
                running = self._start(stored, stdio)
            except RuntimeFailure as error:
                self.note_exit(container, error.exit_code, str(error))
                raise
            try:
                began = start_time(running.pid) or 0
                self.note_start(stored.row, running.pid, began, told=True)
                yield running
            finally:
                self._finish(container, running)

    @contextmanager
    def alone(self, container: ContainerID, patience: float) -> Iterator[StoredContainer]:
        """Keep other commands from starting, removing or mounting the container meanwhile.

        Who runs it does so to its end. Raises `InUse` after `patience` seconds, or
        `ContainerNotFound`.
        """
        with self.locked(container, patience) as (stored, _):
            yield stored

    @contextmanager
    def locked(
        self, container: ContainerID, patience: float
    ) -> Iterator[tuple[StoredContainer, FileLock]]:
        """The same, with the lock, which a monitor goes on holding."""
        stored = self.get(container)
        lock = self._root.lock(Rank.LEASE, "containers", container)
        try:
            lock.acquire(timeout=patience)
        except LockHeld:
            doing = "is running" if self.get(container).is_up else "is in use"
            raise InUse(f"the container {stored.row.name} {doing}", hint="wait for it") from None
        try:
            yield self._looked_at_again(container, lock), lock
        finally:
            lock.release()

    def _looked_at_again(self, container: ContainerID, lock: FileLock) -> StoredContainer:
        try:
            return self.get(container)
        except ContainerNotFound:
            unlink_if_there(lock.path)  # it was removed meanwhile
            raise

    def root_path(self, container: ContainerID) -> str:
        """Where its root is mounted, for those who keep it."""
        return os.path.join(self.run_root, container, "rootfs")

    def open_running(self, stored: StoredContainer) -> int | None:
        """A descriptor of a running container's root as it sees it; None while there is none."""
        from lamina.execution.inside import open_root

        if stored.row.pid is None:
            return None
        return open_root(stored.row.pid, self.root_path(stored.row.id))

    @contextmanager
    def paused(self, stored: StoredContainer) -> Iterator[None]:
        """Hold all processes of the container still meanwhile, if it runs; `RuntimeFailure`."""
        if stored.status != "running" or stored.row.pid is None:
            yield  # nothing moves
            return
        from lamina.execution.pausing import paused

        with paused(stored.row.pid):
            yield

    def _start(self, stored: StoredContainer, stdio: "Stdio") -> "Running":
        from lamina.execution.run import start

        return start(self.job(stored), self.isolation, stdio)

    def job(self, stored: StoredContainer) -> "Job":
        """What is to be started for it."""
        from lamina.execution.job import Job

        row = stored.row
        volumes = stored.settings.volumes
        if any(each.is_kept for each in volumes):
            volumes = self.placed(stored)
        process = stored.settings.process()._replace(volumes=volumes)
        return Job(
            row.id,
            self.layers.mounts(row.layer_id, writable=True),
            process,
            self.run_root,
            self.layers.driver.writable_root(row.layer_id),
            lambda: self.layers.view(row.layer_id),
        )

    def placed(self, stored: StoredContainer) -> tuple[Volume, ...]:
        """What it is shown, each volume where it lies; before a first start empty ones are filled.

        To be called while nobody else may start it. Raises `StorageError`.
        """
        from lamina.containers.filling import fill

        volumes = stored.settings.volumes
        if stored.row.started is None:
            plan = self.layers.mounts(stored.row.layer_id, writable=True)
            try:
                fill(self.volumes, stored.row.id, volumes, plan)
            except OSError as error:
                raise from_oserror(error, "filling a volume of", stored.row.name) from error
        return tuple(
            each._replace(source=self.volumes.made(each.name)) if each.is_kept else each
            for each in volumes
        )

    def note_start(
        self,
        row: ContainerRow,
        pid: int,
        began: int,
        lease: LeaseID | None = None,
        *,
        told: bool = False,
    ) -> float:
        """Record that it runs, as long as process `pid` does; gives when that began.

        One that is to be removed at its end is no longer our matter when `lease` is to see to it.
        Where nothing can go wrong any more it is `told`, too.
        """
        from lamina.metadata import events

        started = time.time()
        with self._root.database.write() as db:
            self.conclude(db, row.id)
            containers.mark_started(
                db,
                row.id,
                started=started,
                boot_id=self._root.boot_id,
                pid=pid,
                start_time=began,
            )
            if lease is not None:
                ours = self._root.lease if self._root.has_lease else None
                containers.lease_to(db, row, lease, ours)
            if told:
                events.of_container(db, row, "start", at=started)
        crash_point("start-noted")
        return started

    def _finish(self, container: ContainerID, running: "Running") -> "Exit":
        try:
            result = running.wait()
        except RuntimeFailure as error:
            self.note_exit(container, error.exit_code, str(error), told=True)
            raise
        except StorageError as error:  # what it wrote, or what it was lent, is not as it should be
            self.note_exit(container, RuntimeFailure.exit_code, str(error), told=True)
            raise
        self.note_exit(container, result.code, result.words, told=True)
        return result

    def note_exit(
        self, container: ContainerID, code: int, error: str, *, told: bool = False
    ) -> None:
        """Record that it could not be started, or, which is `told`, that it has ended."""
        finished = time.time()
        with self._root.database.write() as db:
            row = containers.get(db, container)
            containers.mark_exited(db, container, finished=finished, exit_code=code, error=error)
            if told and row is not None:
                oom = error.startswith(OUT_OF_MEMORY)
                exits.tell(db, row, Record(0, 0, code, finished, oom))

    # --- telling --------------------------------------------------------------------------

    def conclude(self, db: sqlite3.Connection, container: ContainerID) -> None:
        """Write down how its last run ended, where nothing says so yet.

        To be called by who has the container to himself: then nobody keeps it any more.
        """
        row = containers.get(db, container)
        if row is None or row.pid is None:
            return
        self.fold(db, row)
        record = exits.latest(self.folder(row.id))
        words = _words(Settings.from_json(row.settings), record) if record is not None else ""
        exits.conclude(db, row, record, words)

    def fold(self, db: sqlite3.Connection, row: ContainerRow) -> None:
        """Take in what its monitor has told of it meanwhile."""
        from lamina.metadata import journal

        journal.fold(db, row, self.folder(row.id))

    def settle(self, container: ContainerID) -> None:
        """The same in a transaction of its own; where there is no room it is for another time."""
        with suppress(StorageError), self._root.database.write() as db:
            self.conclude(db, container)

    def announce(
        self, row: ContainerRow, *actions: str, at: float | None = None, **more: str
    ) -> None:
        """Tell what is done to a container where no other row of it changes.

        What cannot be told, for want of room, is done all the same.
        """
        from lamina.metadata import events

        with suppress(StorageError), self._root.database.write() as db:
            for action in actions:
                events.of_container(db, row, action, more, at)

    # --- changing ----------------------------------------------------------

    def changes(self, stored: StoredContainer) -> Iterator[Change]:
        """What the container changed over its image."""
        return self.layers.changes(stored.row.layer_id, self.made(stored))

    def made(self, stored: StoredContainer) -> frozenset[bytes]:
        """What was made in its layer to mount on, and is not taken back yet."""
        room = os.path.join(self.run_root, stored.row.id)
        if not os.path.isdir(room):
            return frozenset()
        from lamina.execution.traces import mount_points

        return mount_points(room)


def _with_record(row: ContainerRow, settings: Settings, record: Record) -> ContainerRow:
    """The row as it is once what the exit record says is known."""
    if record.restarts:
        row = row._replace(started=record.began)
    if record.state == "running":
        return row
    if not record.is_final:
        return row._replace(finished=record.finished, exit_code=record.exit_code)
    return row._replace(
        finished=record.finished,
        exit_code=record.exit_code,
        boot_id=None,
        pid=None,
        start_time=None,
        error=_words(settings, record),
    )


def _words(settings: Settings, record: Record) -> str:
    """What the exit status alone does not say."""
    if not record.oom:
        return ""
    from lamina.execution.limiting import out_of_memory

    return out_of_memory(settings.limits)
