"""The composition root: the only place that names concrete stores and drivers.

Settles the configuration, opens the root, chooses the driver and puts the areas together.
"""

import fcntl
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina.content.directory import BlobStore
from lamina.drivers import select
from lamina.drivers.api import Driver
from lamina.drivers.catalog import entry
from lamina.engine import driving
from lamina.engine.config import Config, settle
from lamina.engine.engine import Engine
from lamina.errors import LaminaError, StorageError
from lamina.images.store import ImageStore
from lamina.kernel.namespaces import outside_uid
from lamina.layers.store import LayerStore
from lamina.metadata import layers as layer_rows
from lamina.metadata.db import set_meta
from lamina.metadata.root import StoreRoot
from lamina.values.events import Caution, Sink, ignore

if TYPE_CHECKING:
    from lamina.metadata.copies import Migration

_ID_DIGITS = 64  # of a container, which names the folder of its start


def open_store(
    root: str | None = None,
    *,
    run_root: str | None = None,
    driver: str | None = None,
    storage_opts: tuple[str, ...] = (),
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
    events: Sink = ignore,
) -> Engine:
    """Open the store at `root`, making it when it is not there.

    `root`, `run_root` and `driver` default to `daemon.json` (or `config`) and then to docker's
    ways; `environ` (default: none is read) may hold LAMINA_ROOT, LAMINA_RUN_ROOT, LAMINA_DRIVER
    and LAMINA_ISOLATION (crun, runc or chroot; `default-runtime` in the file).
    Raises `ConfigurationError` or a `StorageError`.
    """
    settled = settle(
        root=root,
        run_root=run_root,
        driver=driver,
        storage_opts=storage_opts,
        file=config,
        environ=environ or {},
        uid=outside_uid(),
    )
    store = StoreRoot.open(settled.root)
    try:
        return _assemble(store, settled, events)
    except BaseException:
        store.close()
        raise


def _assemble(store: StoreRoot, settled: Config, events: Sink) -> Engine:
    run_root = _run_root(settled, store)
    chosen = _choose(store, settled, run_root, events)
    if chosen.choice.fell_back:
        events(Caution(f"falling back to the vfs driver: {chosen.choice.reason}"))
    layers = LayerStore(store, chosen.make)
    if chosen.choice.features is not None:  # just tried: its home is there as long as the store is
        layers.prepare()
    blobs = BlobStore(store.folder("blobs"), store.folder("staging"))
    _clear_rooms(store, run_root, events)
    if chosen.migration is not None:
        _finish(layers, chosen.migration, run_root, events)
    return Engine(
        root=store,
        layers=layers,
        blobs=blobs,
        images=ImageStore(store, blobs, layers),
        config=settled,
        choice=chosen.choice,
        run_root=run_root,
        events=events,
    )


def _finish(layers: LayerStore, migration: "Migration", run_root: str, events: Sink) -> None:
    """End what a killed `migrate` had decided; one that still copies is its user's matter."""
    if migration.phase == "copying":
        return
    from lamina.engine.moving import finish

    try:
        finish(layers, migration, run_root)
    except (OSError, LaminaError) as error:
        events(Caution(f"what a migration left on {migration.doomed} cannot be removed: {error}"))


class _Chosen(NamedTuple):
    """What makes the driver, why it was chosen, and the move to or from it that is under way."""

    choice: select.Choice
    make: Callable[[], Driver]
    migration: "Migration | None"


def _choose(store: StoreRoot, settled: Config, run_root: str, events: Sink) -> _Chosen:
    """Choose a driver; what was tried on this boot with these rights is not tried again."""
    with store.database.read() as db:
        prior = layer_rows.counts_by_driver(db)
    meta = store.database.meta()
    migration = _migration(meta)
    if migration is not None:  # also where there is no layer: what lies in its homes is known
        prior.setdefault(migration.used, 0)
    trusted = meta.get("driver") if meta.get("driver_proof") == driving.proof(store) else None
    choice = select.choose(store.path, settled.driver, prior, trusted, settled.storage_opts)
    recorded = driving.recorded(meta.get("driver_features", ""), choice.name)
    features = recorded if choice.features is None else choice.features
    if choice.features is not None:
        if prior.get(choice.name):
            for sentence in select.compare(store.path, choice.name, recorded, features):
                events(Caution(sentence))
        with store.database.write() as db:
            set_meta(db, "driver", choice.name)
            set_meta(db, "driver_proof", driving.proof(store))
            set_meta(db, "driver_features", driving.told(choice.name, features))
    entry(choice.name).parse(settled.storage_opts)  # refused now, not when it is first needed
    making = partial(driving.make, store, run_root, choice.name, settled.storage_opts, features)
    return _Chosen(choice, making, migration)


def _migration(meta: dict[str, str]) -> "Migration | None":
    if "migration" not in meta:
        return None
    from lamina.metadata import copies  # hardly ever there is one

    return copies.current(meta)


def _clear_rooms(store: StoreRoot, run_root: str, events: Sink) -> None:
    """Take back what killed engines left of starts: their mount points are nobody's changes."""
    rooms = (name for name in os.listdir(run_root) if len(name) == _ID_DIGITS)
    if not any(_is_abandoned(os.path.join(run_root, name)) for name in rooms):
        return  # whoever looks at containers that run has to load nothing of this
    from lamina.execution.room import sweep
    from lamina.metadata import containers

    def is_container(name: str) -> bool:
        with store.database.read() as db:
            return bool(containers.find(db, name))

    try:
        sweep(run_root, is_container)
    except (OSError, LaminaError) as error:
        events(Caution(f"what a killed container left cannot be cleared away: {error}"))


def _is_abandoned(room: str) -> bool:
    """Whether nobody holds the lock of a room; who is only looking at it too counts as one."""
    try:
        lock = os.open(os.path.join(room, "lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _run_root(settled: Config, store: StoreRoot) -> str:
    """The volatile folder of this store; beneath its root where /run cannot be written."""
    for path in (os.path.join(settled.run_root, store.uuid[:13]), store.folder("run")):
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError:
            continue
        return path
    raise StorageError(
        f"neither {settled.run_root} nor {store.path} can be written", hint="choose --run-root"
    )
