"""Reclaiming layers and blobs that no reference reaches.

The doomed rows are committed fully before the first file is unlinked, so that no power cut
brings back a row without its files. A row goes when its driver object is gone.

Whoever takes references away notes that in the same transaction, under its lease; the note goes
with the last of what was collected. So what a kill leaves uncollected is found by a dead lease.
"""

import os
import sqlite3
from collections.abc import Iterable

from lamina.drivers.api import Driver
from lamina.fs.atomic import unlink_if_there
from lamina.fs.faults import crash_point
from lamina.fs.locks import FileLock, Rank
from lamina.layers import indexes
from lamina.metadata import blobs, layers, refs
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import BlobDigest
from lamina.values.ids import LayerID


def reclaim(root: StoreRoot, driver: Driver) -> list[LayerRow]:
    """Remove every unreachable layer, children first, and every unreferenced blob.

    Gives the layers that went.
    """
    doomed = collect(root, driver)
    collect_blobs(root)
    return doomed


def collect(root: StoreRoot, driver: Driver) -> list[LayerRow]:
    """Remove every unreachable layer; `collect_blobs` is to follow. Gives what went.

    Looks again when it is done: a layer below one that was going could not go with it, and who
    let go of it meanwhile had to leave it.
    """
    gone: list[LayerRow] = []
    while more := _collect(root, driver):
        gone += more
    return gone


def _collect(root: StoreRoot, driver: Driver) -> list[LayerRow]:
    dead = dead_leases(root)
    with root.database.read() as db:
        if not dead and not layers.unreachable(db):
            return []
    with root.database.write(durable=True) as db:
        for lease in dead:
            _end_brief_containers(root, db, lease)
            refs.drop_owner(db, refs.LEASE, lease)
        doomed = _unused(root, layers.unreachable(db))
        layers.doom(db, [row.id for row in doomed], root.lease)
        refs.note_garbage(db, root.lease)
    crash_point("doomed")
    erase(root, driver, doomed)
    return doomed


def _end_brief_containers(root: StoreRoot, db: sqlite3.Connection, lease: str) -> None:
    """Those which the lease's holder was to remove; it holds their read-write layers."""
    from lamina.metadata import containers, exits  # hardly ever a process dies

    for target in refs.targets(db, refs.LEASE, lease):
        exits.drop_layer(db, target, root.folder(containers.FOLDER))


def _unused(root: StoreRoot, rows: list[LayerRow]) -> list[LayerRow]:
    """Those of `rows`, children first, that nobody has mounted and no kept one stands on."""
    unused, needed = [], set()
    for row in rows:
        if row.id in needed or is_used(root, row.id):
            needed.add(row.parent)
        else:
            unused.append(row)
    return unused


def use_lock(root: StoreRoot, layer: LayerID) -> FileLock:
    """The lock that everybody who mounts or reads a layer holds shared."""
    return root.lock(Rank.LEASE, "layers", f"{layer}.use")


def is_used(root: StoreRoot, layer: LayerID) -> bool:
    """Whether anybody has the layer mounted, or reads it."""
    return FileLock.is_held(use_lock(root, layer).path)


def dead_leases(root: StoreRoot) -> list[str]:
    """The owners of lease references that no process holds any more."""
    with root.database.read() as db:
        owners = refs.owners(db, refs.LEASE)
    return [owner for owner in owners if not root.owner_is_alive(refs.lease_id(owner))]


def erase(root: StoreRoot, driver: Driver, doomed: Iterable[LayerRow]) -> None:
    """Remove the objects of doomed rows, then the rows."""
    from lamina.archive.salvage import discard_salvage  # most commands remove nothing

    for row in doomed:
        driver.remove(row.id, root.folder("trash"))
        _empty_trash(root, row)
        crash_point("erased")
        discard_salvage(indexes.staged(root, row))
        unlink_if_there(indexes.staged(root, row))
        unlink_if_there(use_lock(root, row.id).path)
        with root.database.write() as db:
            layers.forget(db, row.id)
            if row.diff_id is not None:
                indexes.drop(root, row, last=not layers.diff_in_use(db, row.diff_id))


def _empty_trash(root: StoreRoot, row: LayerRow) -> None:
    """Erase what an earlier, killed removal of this layer renamed away."""
    from lamina.fs.remove import remove_tree

    for name in os.listdir(root.folder("trash")):
        if name.startswith(row.id):
            remove_tree(root.folder("trash", name))


def erase_folders(root: StoreRoot) -> None:
    """Remove the folders whose rows are gone, then what says so."""
    with root.database.read() as db:
        doomed = refs.doomed_folders(db)
    for parent, name in doomed:
        _erase_folder(root, parent, name)


def _erase_folder(root: StoreRoot, parent: str, name: str) -> None:
    from lamina.fs.remove import remove_tree

    remove_tree(root.folder(parent, name))
    crash_point("folder-erased")
    with root.database.write() as db:
        refs.forget_folder(db, parent, name)


def collect_blobs(root: StoreRoot) -> int:
    """Remove the blobs that nothing refers to; gives the bytes that went.

    Nothing is left to collect then.
    """
    with root.database.read() as db:
        some = bool(blobs.unreferenced(db))
        if not some and not (root.has_lease and refs.notes_garbage(db, root.lease)):
            return 0
    with root.database.write(durable=some) as db:
        doomed = blobs.unreferenced(db)
        for row in doomed:
            drop_blob(root, db, row.digest)
        if not layers.unreachable(db):  # else it is in use, and the next one to look takes it
            refs.forget_garbage(db, root.lease)
    return sum(row.size for row in doomed)


def blob_path(root: StoreRoot, digest: BlobDigest) -> str:
    """Where a blob lies."""
    return root.folder("blobs", digest.algorithm, digest.hex)


def partial_path(root: StoreRoot, digest: BlobDigest, size: int) -> str:
    """Where a blob lies while it is being fetched, by the size that a manifest says it has.

    A manifest that says another size has a file of its own, so that it can spoil no other's.
    """
    return root.folder("staging", f"{_partial(digest)}.{size}")


def _partial(digest: BlobDigest) -> str:
    return f"{refs.INGEST}.{digest.algorithm}.{digest.hex}"


def drop_partials(root: StoreRoot, digest: BlobDigest) -> None:
    """Remove what was half fetched of a blob, under whatever size."""
    for name in os.listdir(root.folder("staging")):
        if name.startswith(_partial(digest)):
            unlink_if_there(root.folder("staging", name))


def drop_blob(root: StoreRoot, db: sqlite3.Connection, digest: BlobDigest) -> None:
    """Remove a blob, whole or half fetched, with its row."""
    refs.drop_target(db, refs.INGEST, digest)
    unlink_if_there(blob_path(root, digest))
    drop_partials(root, digest)
    blobs.forget(db, digest)


def expire_ingests(root: StoreRoot, older_than: float) -> None:
    """Let go of what was begun to be fetched before a time (seconds since the epoch)."""
    with root.database.read() as db:
        expired = [each for each in refs.owners(db, refs.INGEST) if float(each) < older_than]
    if not expired:
        return
    with root.database.write() as db:
        for owner in expired:
            refs.drop_owner(db, refs.INGEST, owner)
    collect_blobs(root)
