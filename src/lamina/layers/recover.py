"""Finishing or undoing what dead processes and power cuts left, at every opening of a store.

Touches only what a row names: a staging or removing row whose lease is dead, and layers and
blobs of an earlier boot that no barrier covered, with the images that need them. Anything else
on disk is `check`'s matter. Idempotent, and may itself be killed at any point, or meet another
opener that does the same. What cannot be removed (something is mounted in it, say) stays for the
next opener and is told by `check`: it must not keep anybody from the rest of the store.
"""

import sqlite3
from collections.abc import Callable
from functools import partial

from lamina.drivers.api import Driver
from lamina.errors import LaminaError
from lamina.fs.faults import crash_point
from lamina.layers import gc
from lamina.metadata import blobs, layers, refs, volumes
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.ids import LayerID


def settle(root: StoreRoot, driver: Callable[[], Driver]) -> None:
    """Undo dead processes' work; one query, and no driver, when there is none."""
    with root.database.read() as db:
        unsettled = layers.unsettled(db)
        power_cut = layers.undurable_of_other_boots(
            db, root.boot_id
        ) or blobs.undurable_of_other_boots(db, root.boot_id)
    orphans = [row for row in unsettled if is_orphan(root, row)]
    was_undone = bool(orphans or power_cut)
    if was_undone:
        _undo(root, driver(), orphans)
    if was_undone or gc.dead_leases(root):  # what an orphan stood on may have been held by it alone
        _as_far_as_possible(partial(gc.collect, root, driver()))
        gc.collect_blobs(root)
    with root.database.read() as db:
        is_littered = bool(refs.doomed_folders(db))
        has_doomed_volumes = bool(volumes.all_rows(db, "removing"))
    if is_littered:
        _as_far_as_possible(partial(gc.erase_folders, root))
    if has_doomed_volumes:
        from lamina.layers import volumefolders  # hardly ever there are some

        _as_far_as_possible(partial(volumefolders.settle, root))
    root.sweep_leases()


def is_orphan(root: StoreRoot, row: LayerRow) -> bool:
    """Whether nobody is at work any more on a layer that is neither ready nor gone.

    What a killed engine had started may take a moment to end: the next opener's matter then.
    """
    return not root.owner_is_alive(row.lease) and not gc.is_used(root, row.id)


def _undo(root: StoreRoot, driver: Driver, orphans: list[LayerRow]) -> None:
    with root.database.write(durable=True) as db:
        still = {row.id: row for row in layers.unsettled(db)}
        doomed = [row for row in orphans if row.id in still and still[row.id].lease == row.lease]
        doomed = _merge(doomed, _drop_lost(root, db))
        layers.doom(db, [row.id for row in doomed], root.lease)
    crash_point("recovering")
    for row in doomed:
        _as_far_as_possible(partial(gc.erase, root, driver, [row]))


def _drop_lost(root: StoreRoot, db: sqlite3.Connection) -> list[LayerRow]:
    """Drop the rows that need what a power cut may have taken; gives the layers that are to go."""
    from lamina.metadata import containers, exits, images  # hardly ever something is lost

    lost = layers.undurable_of_other_boots(db, root.boot_id)
    doomed = [
        row
        for row in layers.with_descendants(db, [row.id for row in lost])
        if row.state != "removing" or not root.owner_is_alive(row.lease)
    ]
    for row in doomed:
        exits.drop_layer(db, row.id, root.folder(containers.FOLDER))
        if row.chain_id is not None:
            images.drop_chain(db, row.chain_id)
    for blob in blobs.undurable_of_other_boots(db, root.boot_id):
        images.drop_blob(db, blob.digest)
        gc.drop_blob(root, db, blob.digest)
    return doomed


def _as_far_as_possible(work: Callable[[], object]) -> None:
    try:
        work()
    except (LaminaError, OSError):
        return  # its row stays, for the next opener and for `check`


def _merge(first: list[LayerRow], second: list[LayerRow]) -> list[LayerRow]:
    seen: set[LayerID] = set()
    merged = []
    for row in [*second, *first]:
        if row.id not in seen:
            seen.add(row.id)
            merged.append(row)
    return layers.children_first(merged)
