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
from typing import NamedTuple

from lamina.errors import (
    ForeignStore,
    InUse,
    LockHeld,
    StorageError,
    StoreDamaged,
    from_oserror,
)
from lamina.fs import locks
from lamina.fs.atomic import replace_file, write_file
from lamina.fs.locks import FileLock, Rank, hold_shared
from lamina.kernel.ioctl import syncfs
from lamina.metadata import refs, reserve
from lamina.metadata.db import COMPANIONS, Database
from lamina.values.ids import LeaseID

FORMAT = 1
_FOLDERS = ("blobs", "index", "containers", "volumes", "staging", "trash", "quarantine")
_RESERVE = "reserve"
_SCRATCH = "blob."  # <lease>.blob.<name> in `staging/`: files, not layers, of a lease
_LOCK = ".lock"
_PATIENCE = 60.0  # seconds for whoever has the whole store to itself
_MAKING = 0.1  # seconds between looks whether another process has made the store
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Identity(NamedTuple):
    """What the `store` file says."""

    uuid: str
    format: int
    generation: int

    def text(self) -> bytes:
        """The file's bytes."""
        return (
            f"lamina store\nuuid={self.uuid}\nformat={self.format}\ngeneration={self.generation}\n"
        ).encode()

    @classmethod
    def parse(cls, text: str, path: str) -> "Identity":
        """Read the file's text; raises `StoreDamaged`."""
        lines = text.splitlines()
        facts = dict(line.partition("=")[::2] for line in lines[1:])
        try:
            if lines[0] != "lamina store":
                raise ValueError
            return cls(facts["uuid"], int(facts["format"]), int(facts["generation"]))
        except (IndexError, KeyError, ValueError):
            raise StoreDamaged(f"{path} is not the identity of a Lamina store") from None


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
                _create(path)
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
        with locks.alone(self._hold, self.folder(_LOCK), patience):
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
                _unlink(self.folder("staging", name))
        for name in dead:
            _unlink(self.folder("locks", "leases", name))

    def barrier(self) -> None:
        """Make all that is visible now survive a power cut: `syncfs`, then one full commit."""
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
            reserve.take(self.path, self.folder(_RESERVE))
        except OSError:
            pass  # a read-only or full disk must not stop a clean end
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1


class Lease:
    """A lock file that its holder keeps locked; freed by the kernel when the holder dies."""

    def __init__(self, lease: LeaseID, path: str, lock: FileLock) -> None:
        self.id = lease
        self._path = path
        self._lock = lock

    @classmethod
    def take(cls, folder: str) -> "Lease":
        """Draw a new lease and hold it before it can be seen under its own name."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        while True:
            lease = LeaseID.from_random(os.urandom(32))
            path = os.path.join(folder, lease)
            lock = FileLock(f"{path}.new", Rank.LEASE)
            lock.acquire()
            try:
                os.rename(f"{path}.new", path)
            except FileNotFoundError:
                lock.release()  # swept between its making and its locking: draw another
                continue
            return cls(lease, path, lock)

    @staticmethod
    def dead(folder: str) -> list[str]:
        """The names of the files of leases whose holders died."""
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        return [name for name in names if not FileLock.is_held(os.path.join(folder, name))]

    @staticmethod
    def is_held(folder: str, lease: LeaseID) -> bool:
        """Whether a live process holds `lease`."""
        path = os.path.join(folder, lease)
        return os.path.exists(path) and FileLock.is_held(path)

    def release(self) -> None:
        """Let go, and take the file away."""
        try:
            os.unlink(self._path)
        except OSError:
            pass  # a read-only or full disk must not stop a clean end; a free lock says the same
        self._lock.release()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another opener was here


def boot_id() -> str:
    """This boot's ID (random(4)); a row carrying another one was not made since."""
    with open(_BOOT_ID, encoding="utf-8") as file:
        return file.read().strip()


def _create(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)
    _refuse_strangers(path)  # before the lock file, which would be one more thing in their midst
    lock = FileLock(os.path.join(path, _LOCK), Rank.STORE)
    if not _wait_to_make(path, lock):
        return
    try:
        if os.path.lexists(os.path.join(path, "store")):
            return  # another process was first
        _refuse_strangers(path)
        os.chmod(path, 0o700)  # also one that was there: what is inside is nobody else's
        reserve.give_back(path, os.path.join(path, _RESERVE))
        for name in _FOLDERS:
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        os.makedirs(os.path.join(path, "locks"), mode=0o700, exist_ok=True)
        identity = Identity(_new_uuid(), FORMAT, 0)
        database = Database.create(
            os.path.join(path, "lamina.db"),
            os.path.join(path, "locks", "database"),
            {"uuid": identity.uuid, "format": str(FORMAT), "generation": "0"},
        )
        database.close()
        _write_identity(path, identity)
    finally:
        lock.release()


def _wait_to_make(path: str, lock: FileLock) -> bool:
    """Take the lock, unless another makes the store: whoever did that may hold it for hours."""
    while True:
        try:
            lock.acquire(timeout=_MAKING)
        except LockHeld:
            if os.path.lexists(os.path.join(path, "store")):
                return False
        else:
            return True


def _write_identity(path: str, identity: Identity) -> None:
    """Last of all, and under the lock: what an earlier, killed try left is ours to replace."""
    temporary = os.path.join(path, "staging", "store")
    _unlink(temporary)
    target = os.path.join(path, "store")
    write_file(target, identity.text(), mode=0o600, durable=True, temporary=temporary)


def _refuse_strangers(path: str) -> None:
    ours = {*_FOLDERS, "locks", _LOCK, "lost+found", _RESERVE}
    ours |= {f"lamina.db{made}{suffix}" for made in ("", ".new") for suffix in ("", *COMPANIONS)}
    names = set(os.listdir(path))
    if "store" in names:
        return  # another process was first
    strangers = sorted(names - ours)
    if strangers and os.path.lexists(os.path.join(path, "lamina.db")):
        raise StoreDamaged(
            f"{path} holds the database of a store but not its identity, the file `store`",
            hint="restore it from a backup",
        )
    if strangers:
        raise ForeignStore(
            f"{path} is not a Lamina store and is not empty (it holds {strangers[0]!r})",
            hint="choose an empty directory with --root",
        )
    occupied = [name for name in ("blobs", "index") if _has_entries(os.path.join(path, name))]
    if occupied:
        raise StoreDamaged(
            f"{path} holds layers or blobs but neither its identity nor its database",
            hint="restore `store` and `lamina.db` from a backup, or choose another --root",
        )


def _has_entries(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except FileNotFoundError:
        return False


def _hold(path: str) -> int:
    try:
        return hold_shared(os.path.join(path, _LOCK), _PATIENCE)
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
    reserve.give_back(path, os.path.join(path, _RESERVE))
    # Asked of the kernel first: SQLite has no words for why it cannot open a file.
    os.close(os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = Database(database_path, lock_path)
    try:
        _compare(identity, database.meta(), path)
    except StorageError:
        database.close()
        raise
    return StoreRoot(path, database, identity, hold)


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


def _new_uuid() -> str:
    text = os.urandom(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
