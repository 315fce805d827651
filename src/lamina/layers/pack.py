"""From a read-write layer to the entries of its canonical diff (docs/format/layer-semantics.md)."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.archive.results import Change
from lamina.archive.whiteout import is_reserved
from lamina.drivers.api import Driver
from lamina.errors import BadArchive, from_oserror
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView
from lamina.metadata.layers import LayerRow

if TYPE_CHECKING:
    from lamina.layers.source import EntrySource


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


def changes_without(driver: Driver, row: LayerRow, made: frozenset[bytes]) -> list[Change]:
    """What `row` changed, less what engines `made` in it to mount on and nothing lies in.

    Nor is a directory a change for their sake alone.
    """
    changes = list(driver.changes(row.id, row.parent))
    if not made:
        return changes
    with ExitStack() as ending:
        views = [driver.view(each) for each in (row.id, row.parent) if each is not None]
        for view in views:
            ending.callback(view.close)
        return _without(changes, made, lambda path: len({_facts(view, path) for view in views}) > 1)


def _without(
    changes: list[Change], made: frozenset[bytes], differs: Callable[[bytes], bool]
) -> list[Change]:
    """Sorted by path, so that in reverse a directory comes after all that lies in it."""
    needed: set[bytes] = set()  # directories that hold something which is kept
    shaken: set[bytes] = set()  # and those that held something which is not
    kept = []
    for change in reversed(changes):
        folder = change.path.rpartition(b"/")[0]
        is_made = change.path in made and change.kind == "A"
        is_seen_through = change.path in shaken and change.kind == "C"
        is_nothing = is_made or (is_seen_through and not differs(change.path))
        if is_nothing and change.path not in needed:
            shaken.add(folder)
        else:
            needed.add(folder)
            kept.append(change)
    return kept[::-1]


def _facts(view: TreeView, path: bytes) -> tuple[object, ...]:
    """What of a directory can be a change."""
    status = view.lstat(path)
    if status is None:
        return ()
    return (status.st_mode, status.st_uid, status.st_gid, *sorted(view.xattrs(path)))


@contextmanager
def changed(
    driver: Driver, row: LayerRow, clamp: int | None, made: frozenset[bytes] = frozenset()
) -> "Iterator[EntrySource | None]":
    """The diff of `row` against its parent as a layer source; None when nothing changed.

    Times are clamped to `clamp`, in seconds since the epoch, when it is given. `made` as for
    `changes_without`.
    """
    from lamina.archive.diff import changed_entries  # a list of what changed packs nothing
    from lamina.layers.source import EntrySource

    changes = changes_without(driver, row, made)
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
