"""The root directory of a store: its identity, its folders, its locks and its barrier.

    <root>/
      .lock          held shared by whoever has the store open
      store          the store's UUID, format version and generation, as text
      lamina.db      the database; holds the same UUID and a generation at least as high
      blobs/ index/ containers/ volumes/ <driver homes>
      staging/       what a live lease is making       locks/   lock files, leases/
      reserve        room for a full disk (lamina.metadata.reserve)
      trash/         renamed away, being erased        quarantine/  set aside by `check --repair`

A root whose database is missing, another store's, or older than its objects is an error and
never an empty store. Knows no driver, layer or image; the folders' contents are others' work.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import (
    ForeignStore,
    InUse,
    LockHeld,
    StorageError,
    StoreDamaged,
    from_oserror,
)
from lamina.fs import locks
from lamina.fs.atomic import replace_file, unlink_if_there
from lamina.fs.locks import FileLock, Rank, hold_shared
from lamina.metadata import refs, reserve
from lamina.metadata.db import Database
from lamina.metadata.identity import FORMAT, LOCK, RESERVE, Identity
from lamina.metadata.lease import Lease
from lamina.values.ids import LeaseID

_SCRATCH = "blob."  # <lease>.blob.<name> in `staging/`: files, not layers, of a lease
_PATIENCE = 60.0  # seconds for whoever has the whole store to itself
_MOMENT = 5.0  # seconds for those who have an outdated store open
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class StoreRoot:
    """An open root. `close` gives up the lease; whatever it was making is then recoverable."""

    def __init__(self, path: str, database: Database, identity: Identity, hold: int) -> None:
        self.path = path
        self.database = database
        self._hold = hold
        self.uuid = identity.uuid
        self.boot_id = boot_id()
        self._pid = os.getpid()
        self._lease: Lease | None = None
        self._taking = threading.Lock()

    @classmethod
    def open(cls, path: str) -> "StoreRoot":
        """Open the store at `path`, making it when the directory is absent or empty.

        Raises `StoreDamaged`, `ForeignStore` or another `StorageError`.
        """
        path = os.path.abspath(path)
        try:
            if not os.path.lexists(os.path.join(path, "store")):
                from lamina.metadata.making import make

                make(path)
            hold = _hold(path)
            try:
                return _open_existing(path, hold)
            except BaseException:
                os.close(hold)
                raise
        except OSError as error:
            raise from_oserror(error, "opening the store", path) from error

    def folder(self, *names: str) -> str:
        """The absolute path of a folder or file of this store."""
        return os.path.join(self.path, *names)

    def lock(self, rank: Rank, *names: str) -> FileLock:
        """The lock file `locks/<names>`; not yet taken."""
        path = self.folder("locks", *names)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return FileLock(path, rank)

    @contextmanager
    def alone(self, patience: float) -> Iterator[None]:
        """Have the store to oneself for the block's time: who comes to open it waits.

        One process at a time may ask for it. Raises `LockHeld` when others have it open.
        """
        with locks.alone(self._hold, self.folder(LOCK), patience):
            yield

    @property
    def is_forked(self) -> bool:
        """Whether this is a child of the process that opened the root: nothing here is its own."""
        return os.getpid() != self._pid

    @property
    def has_lease(self) -> bool:
        """Whether this opener has made or held anything yet."""
        return self._lease is not None and not self.is_forked

    @property
    def lease(self) -> LeaseID:
        """This opener's claim on what it makes; taken at the first use, dies with the process."""
        if self.is_forked:
            raise StorageError(
                "a store was used in a forked process", hint="open it again in the child"
            )
        if self._lease is None:
            with self._taking:
                if self._lease is None:
                    self._lease = Lease.take(self.folder("locks", "leases"))
        return self._lease.id

    def scratch(self, name: str) -> str:
        """A path in `staging/` for this opener alone; after a kill it goes with the lease."""
        return self.folder("staging", f"{self.lease}.{_SCRATCH}{name}")

    def owner_is_alive(self, lease: LeaseID | None) -> bool:
        """Whether some process still holds `lease`."""
        if lease is None:
            return False
        if self._lease is not None and lease == self._lease.id:
            return True
        return Lease.is_held(self.folder("locks", "leases"), lease)

    def sweep_leases(self) -> None:
        """Take away what dead leases left in `staging/`, and last of all their own files.

        Whoever is killed here leaves the rest to the next opener.
        """
        dead = Lease.dead(self.folder("locks", "leases"))
        for name in os.listdir(self.folder("staging")):
            owner, _, rest = name.partition(".")
            # a lease is there before what it stages: its owner is looked for after the listing
            if rest.startswith(_SCRATCH) and not self.owner_is_alive(refs.lease_id(owner)):
                unlink_if_there(self.folder("staging", name))
        for name in dead:
            unlink_if_there(self.folder("locks", "leases", name))

    def barrier(self) -> None:
        """Make all that is visible now survive a power cut: `syncfs`, then one full commit."""
        from lamina.kernel.ioctl import syncfs

        reserve.give_back(self.path, self.folder(RESERVE))  # else what is done is told as failed
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(descriptor)
        except OSError as error:
            raise from_oserror(error, "writing the store to disk", self.path) from error
        finally:
            os.close(descriptor)

    def note_generation(self, generation: int) -> None:
        """Let the `store` file say that the database has reached `generation`."""
        identity = Identity(self.uuid, FORMAT, generation)
        staged = self.scratch("store")
        try:
            replace_file(self.folder("store"), identity.text(), temporary=staged)
        except OSError as error:
            raise from_oserror(error, "writing", self.folder("store")) from error

    def close(self) -> None:
        """Give up the lease and the database; in a forked child both stay its parent's."""
        if self._lease is not None and not self.is_forked:
            self._lease.release()
            self._lease = None
        self.database.close()
        try:
            reserve.take(self.path, self.folder(RESERVE))
        except OSError:
            pass  # a read-only or full disk must not stop a clean end
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1


def boot_id() -> str:
    """This boot's ID (random(4)); a row carrying another one was not made since."""
    with open(_BOOT_ID, encoding="utf-8") as file:
        return file.read().strip()


def _hold(path: str) -> int:
    try:
        return hold_shared(os.path.join(path, LOCK), _PATIENCE)
    except LockHeld:
        raise InUse(
            f"the store at {path} is being switched to another driver",
            hint="try again when `lamina migrate` is done",
        ) from None


def _open_existing(path: str, hold: int) -> StoreRoot:
    name = os.path.join(path, "store")
    with open(name, encoding="utf-8", errors="replace") as file:
        identity = Identity.parse(file.read(4096), name)
    if identity.format > FORMAT:
        raise ForeignStore(
            f"{path} has format {identity.format}, and this Lamina knows formats up to {FORMAT}",
            hint="use the newer Lamina that wrote it",
        )
    database_path = os.path.join(path, "lamina.db")
    if not os.path.exists(database_path):
        raise StoreDamaged(
            f"the database {database_path} is missing, though {name} says there is a store",
            hint="restore it from a backup; its layers are untouched",
        )
    lock_path = os.path.join(path, "locks", "database")
    reserve.give_back(path, os.path.join(path, RESERVE))
    # Asked of the kernel first: SQLite has no words for why it cannot open a file.
    os.close(os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = Database(database_path, lock_path)
    try:
        if database.is_outdated:
            _bring_up_to_date(database, path, hold)
        _compare(identity, database.meta(), path)
    except StorageError:
        database.close()
        raise
    return StoreRoot(path, database, identity, hold)


def _bring_up_to_date(database: Database, path: str, hold: int) -> None:
    try:
        with locks.alone(hold, os.path.join(path, LOCK), _MOMENT):
            database.bring_up_to_date()
    except LockHeld:
        raise InUse(
            f"the store {path} is of an older Lamina, and other commands have it open",
            hint="let them end: the first one of this Lamina brings it up to date",
        ) from None


def _compare(identity: Identity, meta: dict[str, str], path: str) -> None:
    if meta.get("uuid") != identity.uuid:
        raise ForeignStore(
            f"{path}/lamina.db belongs to another store ({meta.get('uuid')}, not {identity.uuid})",
            hint="put this store's own database back",
        )
    if int(meta.get("generation", "0")) < identity.generation:
        raise StoreDamaged(
            f"{path}/lamina.db is older than the objects beside it (generation "
            f"{meta.get('generation')}, not {identity.generation})",
            hint="put the newer database back",
        )
