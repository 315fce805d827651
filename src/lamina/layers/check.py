"""Comparing what the rows say with what lies on disk; setting strays aside on request.

Finds what recovery must not touch because no row names it. A stray is moved to `quarantine/`,
never erased. `full` re-reads every layer and compares it with its diff ID.
"""

import os
from collections.abc import Iterator

from lamina.content.directory import BlobStore
from lamina.drivers.api import ChecksItself, Driver, SetsAside
from lamina.errors import LaminaError
from lamina.fs.locks import FileLock
from lamina.layers import export, gc, indexes, recover
from lamina.layers.finding import Finding
from lamina.metadata import blobs, copies, layers
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import BlobDigest
from lamina.values.ids import LayerID

_CHUNK = 1 << 20


def check(root: StoreRoot, driver: Driver, *, full: bool = False) -> list[Finding]:
    """Everything that is wrong, strays first.

    The store may be in use: what lies there is listed before the rows are read, because a row
    comes before what it names, and what seems to be wrong is looked at again.
    """
    here = set(driver.layers())
    indexes_here, blobs_here = _listing(root.folder("index")), _blobs_here(root)
    with root.database.read() as db:
        rows = {row.id: row for row in (*layers.ready(db), *layers.unsettled(db))}
        known_blobs = {f"{row.digest.algorithm}/{row.digest.hex}" for row in blobs.all_rows(db)}
        needed = blobs.needed_by_images(db)
    found = [Finding("damaged", "database", each, "") for each in root.database.complaints()]
    found += _stray_layers(driver, here - rows.keys())
    found += _stray_files(root.folder("index"), indexes_here - _index_names(root, rows), "index")
    found += _stray_files(root.folder("blobs"), blobs_here - known_blobs, "blob")
    found += _unfinished(root, rows)
    found += _unfinished_move(root)
    found += _missing(root, driver, rows, here)
    found += _missing_blobs(root, needed)
    if full:
        found += _damaged(root, driver, rows)
        found += _damaged_blobs(root, needed)
    return found


def _stray_layers(driver: Driver, strays: set[LayerID]) -> Iterator[Finding]:
    for layer in sorted(strays.intersection(driver.layers() if strays else ())):
        path = driver.location(layer)
        yield Finding(
            "stray", f"layer {layer.short}", "no row of the database names it", path, layer
        )


def _index_names(root: StoreRoot, rows: dict[LayerID, LayerRow]) -> set[str]:
    known = {name for row in rows.values() for name in indexes.names(row)}
    migration = copies.current(root.database.meta())
    if migration is not None:
        ends = (migration.source, migration.target)
        known |= {indexes.moved_name(layer, end) for layer in rows for end in ends}
    return known


def _listing(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _blobs_here(root: StoreRoot) -> set[str]:
    folders = sorted(_listing(root.folder("blobs")))
    return {f"{each}/{name}" for each in folders for name in _listing(root.folder("blobs", each))}


def _stray_files(folder: str, strays: set[str], what: str) -> Iterator[Finding]:
    for name in sorted(strays):
        path = os.path.join(folder, name)
        if os.path.lexists(path):  # else its removal was under way
            short = os.path.basename(name)[:12]
            yield Finding("stray", f"{what} {short}", "no row of the database names it", path)


def _unfinished(root: StoreRoot, rows: dict[LayerID, LayerRow]) -> Iterator[Finding]:
    for row in rows.values():
        # this very opener may have tried just now, and then the row is in its own name
        is_ours = root.has_lease and row.lease == root.lease
        if row.state != "ready" and (is_ours or recover.is_orphan(root, row)):
            detail = "its removal was begun and could not be finished"
            yield Finding("unfinished", f"layer {row.id.short}", detail, "")


def _unfinished_move(root: StoreRoot) -> Iterator[Finding]:
    """One that is decided; what is still being copied may go on, or be given up."""
    migration = copies.current(root.database.meta())
    at_work = FileLock.is_held(root.folder("locks", "migration"))
    if migration is not None and migration.phase != "copying" and not at_work:
        detail = f"what it left on {migration.doomed} could not be removed"
        yield Finding("unfinished", f"migration to {migration.target}", detail, "")


def _missing(
    root: StoreRoot, driver: Driver, rows: dict[LayerID, LayerRow], here: set[LayerID]
) -> Iterator[Finding]:
    ready = [row for row in rows.values() if row.state == "ready"]
    if not here.issuperset(row.id for row in ready):
        here = here.union(driver.layers())  # made since the first listing, perhaps
    for row in ready:
        if row.id not in here:
            detail = "its files are gone"
        elif row.diff_id is not None and not os.path.exists(indexes.path(root, row)):
            detail = "its index is gone"
        else:
            continue
        if _is_still_ready(root, row):
            yield Finding("missing", f"layer {row.id.short}", detail, "")


def _is_still_ready(root: StoreRoot, row: LayerRow) -> bool:
    with root.database.read() as db:
        return any(each.id == row.id for each in layers.ready(db))


def _missing_blobs(root: StoreRoot, needed: list[BlobDigest]) -> Iterator[Finding]:
    for digest in needed:
        if not os.path.exists(gc.blob_path(root, digest)):
            with root.database.read() as db:
                if digest in blobs.needed_by_images(db):
                    detail = "an image needs it and it is gone"
                    yield Finding("missing", f"blob {digest.short}", detail, "")


def _damaged(root: StoreRoot, driver: Driver, rows: dict[LayerID, LayerRow]) -> Iterator[Finding]:
    for row in rows.values():
        if row.state != "ready" or row.chain_id is None:
            continue
        try:
            export.export(root, driver, row, _nowhere)
            if isinstance(driver, ChecksItself):
                driver.verify(row.id)
        except (LaminaError, OSError) as error:
            if _is_still_ready(root, row):
                yield Finding("damaged", f"layer {row.id.short}", _why(error), "")


def _damaged_blobs(root: StoreRoot, needed: list[BlobDigest]) -> Iterator[Finding]:
    store = BlobStore(root.folder("blobs"), root.folder("staging"))
    for digest in needed:
        if not store.has(digest):
            continue  # told already, or it went meanwhile
        try:
            with store.open(digest) as blob:
                while blob.read(_CHUNK):
                    pass
        except (LaminaError, OSError) as error:
            yield Finding("damaged", f"blob {digest.short}", _why(error), "")


def _why(error: LaminaError | OSError) -> str:
    """Without the advice to check, which is being done."""
    return error.brief if isinstance(error, LaminaError) else str(error)


def _nowhere(_data: bytes) -> object:
    return None


def set_aside(root: StoreRoot, driver: Driver, finding: Finding) -> str:
    """Move a stray into `quarantine/`; gives where it lies now."""
    name = f"{os.path.basename(finding.path)}.{os.urandom(4).hex()}"
    target = root.folder("quarantine", name)
    if finding.layer is not None and isinstance(driver, SetsAside):
        return driver.set_aside(finding.layer, target)
    os.rename(finding.path, target)
    return target
