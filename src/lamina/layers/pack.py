"""From a read-write layer to the entries of its canonical diff (docs/format/layer-semantics.md)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.archive.diff import changed_entries
from lamina.archive.whiteout import is_reserved
from lamina.drivers.api import Driver
from lamina.errors import BadArchive, from_oserror
from lamina.fs.inroot import shown
from lamina.layers.source import EntrySource
from lamina.metadata.layers import LayerRow


def sync_limited(driver: Driver, row: LayerRow) -> None:
    """Let a layer in a file system of its own be on disk; raises `StorageError` if it cannot be.

    What was lost because the disk below was full would be read as zeros.
    """
    path = driver.writable_root(row.id)
    if not os.path.isfile(path):
        return
    from lamina.fs import limited  # few need it

    try:
        limited.sync(path)
    except OSError as error:
        raise from_oserror(error, "writing to disk what is in", path) from error


@contextmanager
def changed(driver: Driver, row: LayerRow, clamp: int | None) -> Iterator[EntrySource | None]:
    """The diff of `row` against its parent as a layer source; None when nothing changed.

    Times are clamped to `clamp`, in seconds since the epoch, when it is given.
    """
    changes = list(driver.changes(row.id, row.parent))
    if not changes:
        yield None
        return
    for change in changes:
        if change.kind != "D" and is_reserved(change.path):
            raise BadArchive(
                f"the file {shown(change.path)} cannot be part of a layer: names that begin with"
                " .wh. mean deletions there",
                hint="remove it, or keep it in a volume",
            )
    view = driver.view(row.id)
    try:
        yield EntrySource(changed_entries(changes, view, clamp=clamp))
    finally:
        view.close()
