"""`fork` and `reset`: a container with what another one has written, and one without any of it."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from lamina.containers import names
from lamina.containers.making import adopt, refuse_taken
from lamina.containers.settings import Settings
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.containers.volumes import with_names
from lamina.errors import InUse, VolumeNotFound
from lamina.fs.faults import crash_point
from lamina.metadata import containers, layers
from lamina.metadata.containers import ContainerRow
from lamina.runtime.process import Volume
from lamina.values.ids import ContainerID, LayerID

_PATIENCE = 10.0  # seconds for whoever is about to be done with a container


def fork(
    store: ContainerStore, stored: StoredContainer, called: Sequence[str | None]
) -> list[StoredContainer]:
    """Make containers like another one, with all that it has written; nothing of them runs.

    One for each name (None: a drawn one), all as of one moment: one that runs is held still
    meanwhile. Raises `NameTaken`, `InvalidName`, `InUse`, `RuntimeFailure` or `StorageError`.
    """
    for name in called:
        if name is not None:
            names.check(name)
            refuse_taken(store, name)
    forked = _forked(store, stored, len(called))
    made = []
    try:
        for name in called:
            made.append(_adopted(store, stored, forked[0], name))
            forked.pop(0)
    finally:
        for layer in forked[1:]:  # the first one is gone with what failed
            store.layers.remove_rw(layer)
    return made


def _forked(store: ContainerStore, stored: StoredContainer, count: int) -> list[LayerID]:
    layers_made: list[LayerID] = []
    with ExitStack() as ending:
        if stored.is_up:
            ending.enter_context(store.paused(stored))
        else:
            stored = ending.enter_context(store.alone(stored.row.id, _PATIENCE))
        made = store.made(stored)
        try:
            for _ in range(count):
                layer = store.layers.fork_rw(stored.row.layer_id, made)
                layers_made.append(layer)
        except BaseException:
            for layer in layers_made:
                store.layers.remove_rw(layer)
            raise
    return layers_made


def _adopted(
    store: ContainerStore, stored: StoredContainer, layer: LayerID, name: str | None
) -> StoredContainer:
    """A container with that layer; it is removed when that fails."""
    container = ContainerID.from_random(os.urandom(32))
    settings, used = with_names(_settings(store, stored, container), container)
    row = ContainerRow(
        container,
        name or "",
        stored.row.image_id,
        stored.row.image_name,
        layer,
        settings.to_json(),
        time.time(),
    )
    return adopt(store, row, settings, used)


def _settings(store: ContainerStore, stored: StoredContainer, container: ContainerID) -> Settings:
    """A host name that was drawn from an ID is drawn from the new one.

    Volumes that have a name are shared; of those that nobody named, it gets new ones.
    """
    volumes = tuple(_own(store, each) for each in stored.settings.volumes)
    settings = stored.settings._replace(auto_remove=False, volumes=volumes)
    if settings.hostname == stored.row.id.short:
        return settings._replace(hostname=container.short)
    return settings


def _own(store: ContainerStore, volume: Volume) -> Volume:
    if not volume.name:
        return volume
    try:
        anonymous = store.volumes.get(volume.name).row.anonymous
    except VolumeNotFound:
        return volume  # made at its start
    return volume._replace(name="") if anonymous else volume


def reset(store: ContainerStore, stored: StoredContainer) -> None:
    """Take away all that a container has written; raises `InUse` while it runs.

    Either all of it is there or nothing.
    """
    if stored.is_up:
        raise InUse(
            f"the container {stored.row.name} is running",
            hint="stop it first or reset it with --force",
        )
    with store.alone(stored.row.id, _PATIENCE) as now:
        old = now.row.layer_id
        fresh = store.layers.create_rw_like(old)
        try:
            _switch(store, now.row, old, fresh)
        except BaseException:
            if store.get(now.row.id).row.layer_id == old:
                store.layers.remove_rw(fresh)
            raise
        crash_point("layer-reset")
        store.layers.remove_rw(old)


def _switch(store: ContainerStore, row: ContainerRow, old: LayerID, fresh: LayerID) -> None:
    root = store.layers.root
    with store.layers.unused(old), root.database.write() as db:
        containers.give_layer(db, row, fresh)
        layers.doom(db, [old], root.lease)
