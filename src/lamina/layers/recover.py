"""Finishing or undoing what dead processes and power cuts left, at every opening of a store.

Touches only what a row names: a staging or removing row whose lease is dead, and committed
layers of an earlier boot that no barrier covered. Anything else on disk is `check`'s matter.
Idempotent, and may itself be killed at any point.
"""

from lamina.drivers.api import Driver
from lamina.fs.faults import crash_point
from lamina.layers import gc
from lamina.metadata import containers, images, layers
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.ids import LayerID


def settle(root: StoreRoot, driver: Driver) -> None:
    """Undo dead processes' work; one query when there is none."""
    with root.database.read() as db:
        unsettled = layers.unsettled(db)
        lost = layers.undurable_of_other_boots(db, root.boot_id)
    orphans = [
        row
        for row in unsettled
        # what a killed engine had started may take a moment to end: the next opener's matter then
        if not root.owner_is_alive(row.lease) and not gc.is_used(root, row.id)
    ]
    if orphans or lost:
        _undo(root, driver, orphans, lost)
    if gc.dead_leases(root):
        gc.collect(root, driver)
        gc.collect_blobs(root)
    root.sweep_leases()


def _undo(root: StoreRoot, driver: Driver, orphans: list[LayerRow], lost: list[LayerRow]) -> None:
    with root.database.write(durable=True) as db:
        still = {row.id: row for row in layers.unsettled(db)}
        doomed = [row for row in orphans if row.id in still and still[row.id].lease == row.lease]
        if lost:
            doomed = _merge(doomed, layers.with_descendants(db, [row.id for row in lost]))
            for row in doomed:
                containers.drop_layer(db, row.id)
                if row.chain_id is not None:
                    images.drop_chain(db, row.chain_id)
        layers.doom(db, [row.id for row in doomed], root.lease)
    crash_point("recovering")
    gc.erase(root, driver, doomed)


def _merge(first: list[LayerRow], second: list[LayerRow]) -> list[LayerRow]:
    seen: set[LayerID] = set()
    merged = []
    for row in [*second, *first]:
        if row.id not in seen:
            seen.add(row.id)
            merged.append(row)
    return layers.children_first(merged)
