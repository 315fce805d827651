"""Comparing what the rows say with what lies on disk; setting strays aside on request.

Finds what recovery must not touch because no row names it. A stray is moved to `quarantine/`,
never erased. `full` re-reads every layer and compares it with its diff ID.
"""

import os
from collections.abc import Iterator

from lamina.drivers.api import ChecksItself, Driver, SetsAside
from lamina.errors import LaminaError
from lamina.layers import export, indexes
from lamina.layers.finding import Finding
from lamina.metadata import blobs, layers
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.ids import LayerID


def check(root: StoreRoot, driver: Driver, *, full: bool = False) -> list[Finding]:
    """Everything that is wrong, strays first."""
    with root.database.read() as db:
        rows = {row.id: row for row in (*layers.ready(db), *layers.unsettled(db))}
        known_blobs = {row.digest.hex for row in blobs.all_rows(db)}
    here = set(driver.layers())
    found = [*_stray_layers(root, driver, here - rows.keys())]
    found += _stray_files(root.folder("index"), _index_names(rows), "index")
    found += _stray_files(root.folder("blobs", "sha256"), known_blobs, "blob")
    found += _missing(root, rows, here)
    if full:
        found += _damaged(root, driver, rows)
    return found


def _stray_layers(root: StoreRoot, driver: Driver, strays: set[LayerID]) -> Iterator[Finding]:
    for layer in sorted(strays):
        path = driver.location(layer)
        yield Finding(
            "stray", f"layer {layer.short}", "no row of the database names it", path, layer
        )


def _index_names(rows: dict[LayerID, LayerRow]) -> set[str]:
    return {name for row in rows.values() for name in indexes.names(row)}


def _stray_files(folder: str, known: set[str], what: str) -> Iterator[Finding]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        if name not in known:
            path = os.path.join(folder, name)
            yield Finding("stray", f"{what} {name[:12]}", "no row of the database names it", path)


def _missing(
    root: StoreRoot, rows: dict[LayerID, LayerRow], here: set[LayerID]
) -> Iterator[Finding]:
    for row in rows.values():
        if row.state != "ready":
            continue
        if row.id not in here:
            yield Finding("missing", f"layer {row.id.short}", "its files are gone", "")
        elif row.diff_id is not None and not os.path.exists(indexes.path(root, row)):
            yield Finding("missing", f"layer {row.id.short}", "its index is gone", "")


def _damaged(root: StoreRoot, driver: Driver, rows: dict[LayerID, LayerRow]) -> Iterator[Finding]:
    for row in rows.values():
        if row.state != "ready" or row.chain_id is None:
            continue
        try:
            export.export(root, driver, row, _nowhere)
            if isinstance(driver, ChecksItself):
                driver.verify(row.id)
        except (LaminaError, OSError) as error:
            yield Finding("damaged", f"layer {row.id.short}", str(error), "")


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
