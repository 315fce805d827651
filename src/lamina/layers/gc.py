"""Reclaiming layers that no reference reaches.

The doomed rows are committed fully before the first file is unlinked, so that no power cut
brings back a row without its files. A row goes when its driver object is gone.
"""

import os
from collections.abc import Iterable

from lamina.archive.salvage import discard_salvage
from lamina.drivers.api import Driver
from lamina.fs.faults import crash_point
from lamina.metadata import layers, refs
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot


def collect(root: StoreRoot, driver: Driver) -> list[LayerRow]:
    """Remove every unreachable layer, children first; gives what went."""
    with root.database.read() as db:
        if not layers.unreachable(db) and not _dead_leases(root):
            return []
    dead = _dead_leases(root)
    with root.database.write(durable=True) as db:
        for lease in dead:
            refs.drop_owner(db, refs.LEASE, lease)
        doomed = layers.unreachable(db)
        layers.doom(db, [row.id for row in doomed], root.lease)
    crash_point("doomed")
    erase(root, driver, doomed)
    return doomed


def _dead_leases(root: StoreRoot) -> list[str]:
    with root.database.read() as db:
        owners = refs.owners(db, refs.LEASE)
    return [owner for owner in owners if not root.owner_is_alive(refs.lease_id(owner))]


def erase(root: StoreRoot, driver: Driver, doomed: Iterable[LayerRow]) -> None:
    """Remove the objects of doomed rows, then the rows."""
    for row in doomed:
        driver.remove(row.id, root.folder("trash"))
        crash_point("erased")
        discard_salvage(staging_index(root, row))
        _unlink(staging_index(root, row))
        with root.database.write() as db:
            layers.forget(db, row.id)
            if row.diff_id is not None and not layers.diff_in_use(db, row.diff_id):
                _unlink(root.folder("index", row.diff_id.hex))


def staging_index(root: StoreRoot, row: LayerRow) -> str:
    """Where the index of a layer grows while the layer is being made."""
    return root.folder("staging", f"{row.id}.index")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
