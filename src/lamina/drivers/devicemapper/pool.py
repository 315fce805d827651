"""One store's thin pool: bringing it up, what is in it, and how a device comes and goes.

    transaction -> record -> device -> the pool's own counter     (make)
    device -> record                                              (drop)

Every arrow may be the last one before a kill. Whoever has the pool next compares its counter
with the transaction: where the pool is one behind, the device named there is taken away again.
So a record may lack its device, and never the other way round. Knows no tree of files.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lamina.drivers.devicemapper.records import DeviceSet, Record, Records, Transaction
from lamina.drivers.devicemapper.settings import FILE_SYSTEMS, Settings, sectors
from lamina.errors import DiskFull, DriverError, LaminaError, StoreDamaged, from_oserror
from lamina.fs import thin
from lamina.fs.atomic import sync_directory
from lamina.fs.faults import crash_point
from lamina.fs.thin import SECTOR, Pool, Thin
from lamina.kernel import devmapper, growth
from lamina.values.size import human_binary

_PATIENCE, _POLL = 10.0, 0.01  # seconds, for a device whose last user went just now
_NUMBERS = 1 << 24  # a pool's devices are numbered in 24 bits
_METADATA_BLOCK = 4096
_FULL = "out_of_data_space"


class Space(NamedTuple):
    """What a pool says of itself, in bytes."""

    counter: int
    metadata_used: int
    metadata: int
    data_used: int
    data: int
    mode: str


class ThinPool:
    """Beneath the driver's home; brought up when it is first needed, gone with its last user."""

    def __init__(self, home: str, settings: Settings) -> None:
        self.home = home
        self.settings = settings
        self.records = Records(os.path.join(home, "metadata"))
        for folder in (self.file(), self.records.folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        self._held: int | None = None

    def file(self, *names: str) -> str:
        """Where the pool's own files are."""
        return os.path.join(self.home, "devicemapper", *names)

    # --- which pool -----------------------------------------------------------------------

    def device_set(self) -> DeviceSet:
        """What pool this store has; raises `StoreDamaged` while it has none."""
        found = self.records.device_set()
        if found is None:
            raise StoreDamaged(f"{self.home} has layers and no record of their pool")
        return found

    def pool(self) -> Pool:
        """The pool, which may not be up."""
        found = self.device_set()
        if found.pool:
            return Pool(found.pool, "", "", self.file("lock"))
        files = (self.file("data"), self.file("metadata"))
        return Pool(f"{self._prefix(found)}-pool", *files, self.file("lock"))

    def _prefix(self, found: DeviceSet) -> str:
        """Also of a copy of this store, which must not take our devices for its own."""
        status = os.stat(self.home)
        device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
        return f"lamina-{device}-{status.st_ino}-{found.token}"

    def _begin(self) -> None:
        """Decide which pool this is, once, and make its files."""
        if self.records.device_set() is not None:
            return
        if not self.settings.pool:
            for name in ("data", "metadata"):
                with open(self.file(name), "wb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.truncate(getattr(self.settings, name))
                    os.fsync(file.fileno())
            sync_directory(self.file())
        token = os.urandom(4).hex()
        self.records.put_device_set(DeviceSet(token, self.settings.pool, self.settings.kind))

    def step(self, name: str, record: Record, *, readonly: bool) -> Thin:
        """How to mount a device."""
        found = self.device_set()
        return Thin(
            self.pool(),
            f"{self._prefix(found)}-{name[:32]}",
            record.device_id,
            sectors(record.size),
            found.base_device_filesystem,
            FILE_SYSTEMS[found.base_device_filesystem].options,
            record.initialized,
            readonly or record.initialized,
        )

    # --- having it ------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[Pool]:
        """The pool, up and to ourselves; what a killed maker left is undone first.

        Raises what the kernel says as a `StorageError` of one sentence.
        """
        try:
            with thin.locked(self.file("lock")):
                self._begin()
                pool = self.pool()
                if self._held is None:
                    self._held = thin.open_pool(pool)
                self._settle(pool)
                yield pool
        except OSError as error:
            raise self.told(error) from error

    def told(self, error: OSError) -> LaminaError:
        """An error of the kernel's in words that say what to do."""
        found = self.records.device_set()
        if found is not None and found.pool == error.filename and error.errno == errno.ENXIO:
            return DriverError(
                error.strerror or str(error),
                hint="bring it back (`lvchange -ay`, `dmsetup ls`), or choose another --root",
            )
        return from_oserror(error, "using the thin pool of", self.home)

    def close(self) -> None:
        """Let go of it, and of what killed users left; whoever comes last takes it down."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        found = self.records.device_set()
        if found is None or not os.path.exists(devmapper.CONTROL):
            return
        with thin.locked(self.file("lock")):
            for name in devmapper.names():
                if name.startswith(f"{self._prefix(found)}-"):
                    _remove_unused(name)
            if self.pool().is_ours:
                _remove_unused(self.pool().name)

    # --- what is in it --------------------------------------------------------------------

    def space(self, pool: Pool) -> Space:
        """What the pool says of itself; raises `StoreDamaged` for one that has failed."""
        words = devmapper.status(pool.name).split()
        if len(words) < 5 or "needs_check" in words:
            raise StoreDamaged(
                f"the thin pool {pool.name} has failed: {' '.join(words)}",
                hint="see thin_check(8) and thin_repair(8), and the kernel's log",
            )
        metadata, data = (tuple(map(int, each.split("/"))) for each in words[1:3])
        block = thin.BLOCK * SECTOR if pool.is_ours else _block_of(pool)
        return Space(
            int(words[0]),
            metadata[0] * _METADATA_BLOCK,
            metadata[1] * _METADATA_BLOCK,
            data[0] * block,
            data[1] * block,
            words[4],
        )

    def full(self) -> DiskFull | None:
        """The error of a pool that has run full; None when it has not."""
        pool = self.pool()
        if _FULL not in devmapper.status(pool.name):
            return None
        return DiskFull(
            f"the thin pool {pool.name} is full",
            hint="remove images or containers (`lamina prune`), or enlarge the pool",
        )

    def _check_space(self, pool: Pool) -> None:
        found = self.space(pool)
        for what, used, total in (
            ("data", found.data_used, found.data),
            ("metadata", found.metadata_used, found.metadata),
        ):
            free = total - used
            if free * 100 < total * self.settings.free:
                raise DiskFull(
                    f"the thin pool {pool.name} has {human_binary(free)} of "
                    f"{human_binary(total)} for {what} left, less than the "
                    f"{self.settings.free} % that are kept free",
                    hint="remove images or containers, or lower --storage-opt dm.min_free_space",
                )

    # --- coming and going -----------------------------------------------------------------

    def make(self, pool: Pool, name: str, parent: str, origin: Record | None, size: int) -> Record:
        """A device of `size` bytes: a snapshot of `origin`, or empty."""
        self._check_space(pool)
        last = self._last(pool)
        number = self._free_number(pool, last.device_id + 1)
        counter = last.open_transaction_id + 1
        made = self.records.put_transaction(Transaction(counter, name, number))
        record = Record(number, size, counter, False, parent, made)
        self.records.put(name, record)
        self.records.settle()
        crash_point("device-noted")
        words = f"create_snap {number} {origin.device_id}" if origin else f"create_thin {number}"
        devmapper.send(pool.name, words)
        crash_point("device-made")
        devmapper.send(pool.name, f"set_transaction_id {counter - 1} {counter}")
        crash_point("device-counted")
        return record

    def seal(self, pool: Pool, name: str, record: Record) -> Record:
        """Let nothing be written to a device any more; all that was is on disk then."""
        thin.close_device(self.step(name, record, readonly=False).name)
        self.space(pool)  # which also makes the pool write down what it has given out
        if self._held is not None:
            os.fsync(self._held)
        done = record._replace(initialized=True)
        self.records.put(name, done)
        return done

    def drop(self, pool: Pool, name: str, record: Record) -> None:
        """Take a device away with its record; what it had for itself is free afterwards."""
        step = self.step(name, record._replace(initialized=False), readonly=False)
        thin.close_device(step.name)
        if pool.is_ours:
            _give_back(step)
        self._delete(pool, record.device_id)
        crash_point("device-deleted")
        self.records.drop(name)

    def _delete(self, pool: Pool, number: int) -> None:
        limit = time.monotonic() + _PATIENCE
        while True:
            try:
                devmapper.send(pool.name, f"delete {number}")
                return
            except OSError as error:
                if error.errno == errno.ENODATA:
                    return
                if error.errno != errno.EBUSY or time.monotonic() > limit:
                    raise
            time.sleep(_POLL)

    def _last(self, pool: Pool) -> Transaction:
        return self.records.transaction() or Transaction(self.space(pool).counter, "", 0)

    def _settle(self, pool: Pool) -> None:
        """Undo what a killed maker left; raises `StoreDamaged` for a pool that is not ours."""
        last = self._last(pool)
        counter = self.space(pool).counter
        if counter == last.open_transaction_id:
            return
        if counter != last.open_transaction_id - 1 or not last.device_hash:
            raise StoreDamaged(
                f"the thin pool {pool.name} is at transaction {counter} and the store at "
                f"{self.home} at {last.open_transaction_id}",
                hint="the pool was replaced, restored or used by another store",
            )
        self._delete(pool, last.device_id)
        self.records.drop(last.device_hash)
        self.records.put_transaction(Transaction(counter, "", last.device_id))
        self.records.settle()

    def _free_number(self, pool: Pool, first: int) -> int:
        """One that was not used last, so that a record which comes back names nobody else's."""
        taken = {
            record.device_id for record in map(self.records.get, self.records.names()) if record
        }
        for offset in range(_NUMBERS):
            number = (first + offset) % _NUMBERS
            if number not in taken and not self._is_there(pool, number):
                return number
        raise DiskFull(f"the thin pool {pool.name} has no number left for a device")

    def _is_there(self, pool: Pool, number: int) -> bool:
        """Whether somebody else's device has that number; in our own files nobody else has one."""
        if pool.is_ours:
            return False
        trial = Thin(pool, f"{pool.name}-lamina-trial", number, thin.BLOCK, "", (), True, True)
        try:
            os.close(thin.open_device(trial))
        except FileNotFoundError:
            return False
        return True


def _block_of(pool: Pool) -> int:
    """Bytes that somebody else's pool gives out at a time."""
    return int(devmapper.table(pool.name).split()[2]) * SECTOR


def _give_back(step: Thin) -> None:
    """Let the file below get smaller; a device that is not there has nothing to give."""
    try:
        device = thin.open_device(step)
    except FileNotFoundError:
        return
    try:
        growth.discard(device, step.sectors * SECTOR)
    except OSError:
        pass  # a pool that has run full, or knows no discards: it is deleted all the same
    finally:
        os.close(device)
    thin.close_device(step.name)


def _remove_unused(name: str) -> None:
    try:
        devmapper.remove(name)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
