"""Removing a container with all that is its own."""

import os
import signal
import time

from lamina.containers.store import ContainerStore, StoredContainer
from lamina.containers.volumes import doom_anonymous
from lamina.errors import ContainerNotFound, InUse
from lamina.fs.atomic import unlink_if_there
from lamina.fs.faults import crash_point
from lamina.fs.processes import end
from lamina.layers import gc
from lamina.metadata import containers, images, layers, refs

_MOMENT = 0.2  # seconds for a command that is about to be done with a container
_PATIENCE = 10.0  # seconds for a killed container's command to clear up


def remove(
    store: ContainerStore, stored: StoredContainer, *, force: bool = False, volumes: bool = False
) -> None:
    """Remove the container with its layer; a running one only with `force` (it is killed).

    With `volumes` those of its own that have no name go, too.
    Raises `InUse` while a command runs or mounts it, or reads its layer.
    """
    if force:
        _remove_anyway(store, stored, volumes)
        return
    if stored.is_up:
        raise InUse(
            f"the container {stored.row.name} is running",
            hint="stop it first or remove it with --force",
        )
    with store.alone(stored.row.id, _MOMENT) as now:
        _erase(store, now, volumes)


def _remove_anyway(store: ContainerStore, stored: StoredContainer, volumes: bool) -> None:
    """It may be about to start, and removed by the command that runs it as it ends."""
    limit = time.monotonic() + _PATIENCE
    while True:
        _kill(store, stored)
        try:
            with store.alone(stored.row.id, _MOMENT) as now:
                _erase(store, now, volumes)
            break
        except ContainerNotFound:
            break
        except InUse:
            if time.monotonic() >= limit:
                raise
        stored = store.get(stored.row.id)


def _kill(store: ContainerStore, stored: StoredContainer) -> None:
    """Kill what keeps the container, if it runs, and wait until all of it is gone."""
    if stored.is_up and stored.row.pid is not None:
        store.announce(stored.row, "kill", signal=str(int(signal.SIGKILL)))
        end(stored.row.pid, stored.row.start_time)


def _erase(store: ContainerStore, stored: StoredContainer, volumes: bool) -> None:
    row, root = stored.row, store.layers.root
    with store.layers.unused(row.layer_id):
        with root.database.write() as db:
            if volumes:
                doom_anonymous(db, row.id)
            store.conclude(db, row.id)
            containers.remove(db, row)
            layers.doom(db, [row.layer_id], root.lease)
            last = images.get(db, row.image_id) is None
            if last:  # the image is gone: the container alone may have held its layers
                refs.note_garbage(db, root.lease)
        crash_point("container-removed")
        _discard_room(store, stored)
        store.layers.erase_doomed(row.layer_id)
        gc.erase_folders(root)
    store.volumes.settle()
    if last:
        store.layers.reclaim()
    unlink_if_there(root.folder("locks", "containers", row.id))


def _discard_room(store: ContainerStore, stored: StoredContainer) -> None:
    """What is left of its last start, where nobody has opened the store since."""
    if os.path.isdir(os.path.join(store.run_root, stored.row.id)):
        from lamina.execution.room import discard

        discard(store.run_root, stored.row.id)
