"""Moving a store to another driver: planned, done as far as others allow, given up, cleared up.

The store stays in use while layers are copied; only for the switch it must be had alone. Whatever
stops in between goes on at the next call. Names what the layers belong to; how a layer is copied
is `layers.moving`'s matter.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from lamina.drivers.api import Driver, Features, SharesMounts
from lamina.drivers.catalog import Entry, entry
from lamina.drivers.select import Choice
from lamina.engine.driving import make, proof, told
from lamina.engine.moveplan import Plan, planned
from lamina.engine.parts import Parts
from lamina.errors import (
    DriverNotSupported,
    ForeignStore,
    InUse,
    LaminaError,
    LockHeld,
    StorageError,
    UsageError,
    from_oserror,
)
from lamina.execution.room import sweep
from lamina.fs.locks import FileLock, Rank
from lamina.layers.moving import Bodies
from lamina.layers.store import LayerStore
from lamina.metadata import copies
from lamina.metadata.copies import Migration
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.events import Caution, LayerProgress, Sink

_PATIENCE = 10.0  # seconds for other commands to be done with the store
_AGAIN = "migrate again: what is copied stays copied"


class Moved(NamedTuple):
    """What a move came to; `source` equals `target` where there was nothing to do."""

    source: str
    target: str
    layers: int
    containers: int


class Moving:
    """Moves the store of an open engine, which goes on with the new driver."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine
        self._layers = engine.layers
        self._root = engine.layers.root

    # --- telling ------------------------------------------------------------------------

    def plan(self, target: str, options: Sequence[str] = ()) -> Plan:
        """What `move` would do; the driver is tried, and nothing is written.

        Raises `DriverUnknown`, `DriverNotSupported` or `UsageError`.
        """
        known = self._under_way(target, options)
        catalogued = entry(target)
        if target != self._layers.driver.name:
            self._try(catalogued, options or (known.target_options if known else ()))
        return planned(self._engine, catalogued)

    # --- moving -------------------------------------------------------------------------

    def move(self, target: str, options: Sequence[str] = (), *, events: Sink) -> Moved:
        """Move the store to the driver `target`, or go on with it.

        Raises `InUse` while containers run or other commands have the store open, `StoreDamaged`
        for a layer that is not what its diff ID says, `DriverNotSupported`, or another
        `StorageError`; the store is as it was then, and the next call goes on.
        """
        with _one_at_a_time(self._root):
            known = self._under_way(target, options)
            if target == self._layers.driver.name:
                return Moved(target, target, 0, 0)
            migration = known or self._begin(target, options)
            driver = self._made(migration, begun=known is None)
            bodies = Bodies(self._layers, driver)
            try:
                self._copy_all(bodies, events)
                moved = self._switch(bodies, migration, events)
            except BaseException:
                _close(self._use(driver) if self._is_switched() else driver)
                raise
            self._leave(migration._replace(phase="leaving"), driver, events)
            return moved

    def _under_way(self, target: str, options: Sequence[str]) -> Migration | None:
        known = copies.current(self._root.database.meta())
        if known is None:
            return None
        if known.phase != "copying":
            raise StorageError(
                f"what an earlier migration left on {known.doomed} is not removed yet",
                hint="run `lamina check`",
            )
        if known.target != target or (options and tuple(options) != known.target_options):
            raise UsageError(
                f"a migration to {known.target} is under way",
                hint=f"end it with `lamina migrate --to {known.target}`, or give it up with "
                "`lamina migrate --abort`",
            )
        return known

    def _try(self, target: Entry, options: Sequence[str]) -> Features:
        target.parse(options)
        found = target.probe(self._root.folder(target.home), options)
        if not found.works:
            raise DriverNotSupported(
                f"the storage driver {target.name} cannot be used in {self._root.path}: "
                f"{found.reason}"
            )
        return found.features

    def _begin(self, target: str, options: Sequence[str]) -> Migration:
        catalogued = entry(target)
        features = self._try(catalogued, options)
        if catalogued.layers(self._root.path):
            raise ForeignStore(
                f"{self._root.folder(catalogued.home)} holds layers that this store knows nothing "
                "of",
                hint="move them away",
            )
        own = self._engine.config.storage_opts
        migration = Migration(
            self._layers.driver.name, target, own, tuple(options), "copying", features
        )
        with self._root.database.write(durable=True) as db:
            copies.note(db, migration)
        return migration

    def _made(self, migration: Migration, *, begun: bool) -> Driver:
        """The new driver; where it cannot be, a migration that has just begun has not."""
        options = migration.target_options
        try:
            return make(
                self._root, self._engine.run_root, migration.target, options, migration.features
            )
        except (OSError, LaminaError) as error:
            if begun:
                with self._root.database.write() as db:
                    copies.end(db)
            if isinstance(error, OSError):
                home = self._root.folder(entry(migration.target).home)
                raise from_oserror(error, "making", home) from error
            raise

    def _copy_all(self, bodies: Bodies, events: Sink) -> None:
        bodies.discard_stale()
        missing = bodies.missing()
        for number, row in enumerate(missing, 1):
            events(LayerProgress(row.id.short, "Copying", number, len(missing)))
            bodies.copy(row)
        for row in bodies.writable():
            with self._named(row):
                bodies.copy_if_still(row)
        bodies.make_durable()

    @contextmanager
    def _named(self, row: LayerRow) -> Iterator[None]:
        """Let an error say whose read-write layer it is about."""
        try:
            yield
        except LaminaError as error:
            names = [
                stored.row.name
                for stored in self._engine.container_store.all()
                if stored.row.layer_id == row.id
            ]
            error.brief = f"container {', '.join(names) or row.id.short}: {error.brief}"
            raise

    def _is_switched(self) -> bool:
        """Whether the store is on the new driver, whatever went wrong after that was written."""
        known = copies.current(self._root.database.meta())
        return known is not None and known.phase == "leaving"

    def _use(self, driver: Driver) -> Driver:
        """Let this engine go on with `driver`; gives the one that it had."""
        old = self._layers.use(driver)
        self._engine.choice = Choice(driver.name, "the store was migrated to it", False)
        return old

    def _switch(self, bodies: Bodies, migration: Migration, events: Sink) -> Moved:
        running = [stored.row.name for stored in self._engine.container_store.all() if stored.is_up]
        if running:
            raise InUse(
                f"everything is copied to {migration.target}, but a container that runs cannot be "
                f"switched over: {', '.join(sorted(running))}",
                hint=f"end it and {_AGAIN}",
            )
        try:
            with self._root.alone(_PATIENCE):
                bodies.refuse_used()  # what is used by none now is used by none until the end
                self._clear_rooms()
                switched = bodies.switch(migration, self._facts(migration))
                _tidy(bodies, switched, events)
        except LockHeld:
            raise InUse(
                f"everything is copied to {migration.target}, but other commands have the store "
                "open",
                hint=f"let them end and {_AGAIN}",
            ) from None
        return Moved(
            migration.source,
            migration.target,
            len(self._layers.all()),
            len(self._engine.container_store.all()),
        )

    def _clear_rooms(self) -> None:
        """Take back what killed starts left in their roots, while it is known where these are."""
        run_root = self._engine.run_root
        try:
            sweep(run_root)
        except OSError as error:
            raise from_oserror(error, "clearing away a killed container in", run_root) from error

    def _facts(self, migration: Migration) -> dict[str, str]:
        """What the store keeps of a driver that was tried."""
        return {
            "driver": migration.target,
            "driver_proof": proof(self._root),
            "driver_features": told(migration.target, migration.features),
        }

    def _leave(self, migration: Migration, driver: Driver, events: Sink) -> None:
        old = self._use(driver)
        try:
            Bodies(self._layers, old).clear()
        except (OSError, LaminaError) as error:
            events(Caution(f"what is left on {old.name} cannot be removed yet: {error}"))
        _close(old)
        config = self._engine.config
        if config.driver not in (None, driver.name):
            events(Caution(f"{config.driver_source} still says {config.driver}: say {driver.name}"))

    # --- giving up ----------------------------------------------------------------------

    def abandon(self) -> str | None:
        """Give up a move that is under way and remove its copies; gives the driver it went to.

        None when there is none. One that is decided is brought to its end, and that driver is
        the one in use. Raises `StorageError` for what cannot be removed.
        """
        with _one_at_a_time(self._root):
            known = copies.current(self._root.database.meta())
            if known is None:
                return None
            if known.phase == "copying":
                known = known._replace(phase="abandoning")
                with self._root.database.write(durable=True) as db:
                    copies.note(db, known)
            _clear(self._layers, known, self._engine.run_root)
            return known.target


def _tidy(bodies: Bodies, switched: list[LayerRow], events: Sink) -> None:
    try:
        bodies.tidy(switched)
    except OSError as error:
        events(Caution(f"an index stays beside its usual place: {error}"))


def finish(layers: LayerStore, migration: Migration, run_root: str) -> None:
    """Remove what a migration that was decided, either way, left to be removed.

    Nothing while another process is at it. Raises `StorageError` or OSError.
    """
    lock = layers.root.lock(Rank.LEASE, "migration")
    try:
        lock.acquire(timeout=0)
    except LockHeld:
        return
    try:
        if copies.current(layers.root.database.meta()) == migration:
            _clear(layers, migration, run_root)
    finally:
        lock.release()


def _clear(layers: LayerStore, migration: Migration, run_root: str) -> None:
    doomed = make(layers.root, run_root, migration.doomed, migration.doomed_options)
    try:
        Bodies(layers, doomed).clear()
    finally:
        _close(doomed)


def _close(driver: Driver) -> None:
    if isinstance(driver, SharesMounts):
        driver.close()


@contextmanager
def _one_at_a_time(root: StoreRoot) -> Iterator[None]:
    lock: FileLock = root.lock(Rank.LEASE, "migration")
    try:
        lock.acquire(timeout=0)
    except LockHeld:
        raise InUse(
            "another `lamina migrate` is at work on this store", hint="wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()
