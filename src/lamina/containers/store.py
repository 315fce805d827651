"""The containers of one store: make, find, run in the foreground, remove.

What lives without the command that started it is the business of lamina.containers.detached, and
removing of lamina.containers.removing.

A container's row and its read-write layer appear in one transaction and go in one; what a
killed process leaves between is a staged or doomed layer, which recovery takes away.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.results import Change
from lamina.containers import names, records
from lamina.containers.records import Record
from lamina.containers.settings import Settings, Wishes, settle
from lamina.containers.state import KILLED, Status, status
from lamina.containers.volumes import (
    VolumeStore,
    check_name,
    claim,
    with_names,
)
from lamina.errors import (
    ContainerNotFound,
    ImageNotFound,
    InUse,
    LockHeld,
    NameTaken,
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
from lamina.kernel.namespaces import CAP_SYS_ADMIN, has_capability
from lamina.layers.store import LayerStore
from lamina.metadata import containers, images, refs
from lamina.metadata.containers import ContainerRow
from lamina.metadata.volumes import VolumeRow
from lamina.runtime.isolation import Isolation
from lamina.runtime.process import Volume
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, ImageID
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
        return self.status in ("running", "paused")


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
        if row.pid is not None:
            row = _with_record(row, settings, records.read(self.folder(row.id)))
        now = status(row, self._root.boot_id)
        if now == "running" and os.path.exists(self.pause_mark(row.id)):
            now = "paused"
        if now == "exited" and row.exit_code is None:
            row = row._replace(exit_code=KILLED)  # with what kept it, which could record no more
        return StoredContainer(row, settings, now)

    def log_path(self, container: ContainerID) -> str:
        """Where what it writes is kept while it runs detached."""
        return os.path.join(self.folder(container), f"{container}-json.log")

    def pause_mark(self, container: ContainerID) -> str:
        """The file that is there while it is paused; it goes with the room of its start."""
        return os.path.join(self.run_root, container, "paused")

    def folder(self, container: ContainerID) -> str:
        """Where its log and its exit record lie, if it has any."""
        return self._root.folder(containers.FOLDER, container)

    # --- making -------------------------------------------------------------------------

    def create(
        self, image: ImageID, image_name: str, wishes: Wishes, name: str | None = None
    ) -> StoredContainer:
        """Make a container of `image`; raises `NameTaken`, `InvalidName` or `UsageError`."""
        container = ContainerID.from_random(os.urandom(32))
        config = self.images.config(image)
        declared = has_capability(CAP_SYS_ADMIN)  # else the image's own directories serve
        settings = settle(config.config, wishes, container.short, declared=declared)
        settings, volumes = with_names(settings, container)
        for each in volumes:
            check_name(each.name)
        if name is not None:
            names.check(name)
            self.refuse_taken(name)
        layer = self.layers.create_rw(_top(config), size=wishes.storage_size)
        row = ContainerRow(
            container,
            name or "",
            image,
            image_name,
            layer,
            settings.to_json(),
            time.time(),
        )
        return self.adopt(row, settings, volumes)

    def adopt(
        self, row: ContainerRow, settings: Settings, used: list[VolumeRow]
    ) -> StoredContainer:
        """Record a container with the layer made for it, which goes if that fails, and volumes."""
        try:
            row = self._record(row, used, brief=settings.auto_remove)
        except BaseException:
            self.layers.remove_rw(row.layer_id)
            raise
        return StoredContainer(row, settings, "created")

    def refuse_taken(self, name: str) -> None:
        """Raise `NameTaken` when a container has that name."""
        with self._root.database.read() as db:
            holders = [row for row in containers.find(db, name) if row.name == name]
        if holders:
            raise NameTaken(
                f"the container name {name!r} is in use by {holders[0].id.short}",
                hint=f"remove it (`lamina rm {name}`) or choose another name",
            )

    def _record(self, row: ContainerRow, used: list[VolumeRow], *, brief: bool) -> ContainerRow:
        """One that is `brief` is to be removed by its maker, or by whoever finds that dead."""
        with self._root.database.write() as db:
            if images.get(db, row.image_id) is None:
                raise ImageNotFound(f"the image {row.image_id.short} was removed meanwhile")
            named = row if row.name else row._replace(name=_free_name(db))
            try:
                containers.add(db, named)
            except sqlite3.IntegrityError:
                raise NameTaken(
                    f"the container name {named.name!r} is in use",
                    hint=f"remove it (`lamina rm {named.name}`) or choose another name",
                ) from None
            claim(db, named.id, used)
            if brief:
                refs.add(db, refs.LEASE, self._root.lease, row.layer_id)
        crash_point("container-recorded")
        return named

    # --- running ------------------------------------------------------------------------

    @contextmanager
    def started(self, container: ContainerID, stdio: "Stdio") -> "Iterator[Running]":
        """Start the container and give its running process; it is waited for at the end.

        Raises `RuntimeFailure` (125) or its kinds for a missing (127) or unusable (126)
        command; the failure is noted in the container's row.
        """
        with self.alone(container, _MOMENT) as stored:
            records.forget(self.folder(container))
            try:
                running = self._start(stored, stdio)
            except RuntimeFailure as error:
                self.note_exit(container, error.exit_code, str(error))
                raise
            try:
                self.note_start(stored.row, running.pid, start_time(running.pid) or 0)
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
        self, row: ContainerRow, pid: int, began: int, lease: LeaseID | None = None
    ) -> None:
        """Record that it runs, as long as process `pid` does.

        One that is to be removed at its end is no longer our matter when `lease` is to see to it.
        """
        with self._root.database.write() as db:
            containers.mark_started(
                db,
                row.id,
                started=time.time(),
                boot_id=self._root.boot_id,
                pid=pid,
                start_time=began,
            )
            if lease is not None:
                ours = self._root.lease if self._root.has_lease else None
                containers.lease_to(db, row, lease, ours)
        crash_point("start-noted")

    def _finish(self, container: ContainerID, running: "Running") -> "Exit":
        try:
            result = running.wait()
        except RuntimeFailure as error:
            self.note_exit(container, error.exit_code, str(error))
            raise
        except StorageError as error:  # what it wrote, or what it was lent, is not as it should be
            self.note_exit(container, RuntimeFailure.exit_code, str(error))
            raise
        self.note_exit(container, result.code, result.words)
        return result

    def note_exit(self, container: ContainerID, code: int, error: str) -> None:
        """Record that it has ended, or could not be started."""
        with self._root.database.write() as db:
            containers.mark_exited(db, container, finished=time.time(), exit_code=code, error=error)

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

    def rename(self, stored: StoredContainer, name: str) -> None:
        """Give the container another name; raises `NameTaken` or `InvalidName`."""
        names.check(name)
        self.refuse_taken(name)
        with self._root.database.write() as db:
            containers.rename(db, stored.row.id, name)


def _with_record(row: ContainerRow, settings: Settings, record: Record | None) -> ContainerRow:
    """The row as it is once what the exit record says is known."""
    if record is None or not record.is_of(row):
        return row
    words = ""
    if record.oom:
        from lamina.execution.limiting import out_of_memory

        words = out_of_memory(settings.limits)
    return row._replace(
        finished=record.finished,
        exit_code=record.exit_code,
        boot_id=None,
        pid=None,
        start_time=None,
        error=words,
    )


def _top(config: ImageConfig) -> ChainID | None:
    return config.top_chain


def _free_name(db: sqlite3.Connection) -> str:
    while True:
        name = names.draw(os.urandom(4))
        if not containers.find(db, name):
            return name
