"""The second bodies that a store's layers get on another driver, and the one moment of change.

    row in `copies` -> body -> verified -> row `ready`          (copy)
    every layer has a ready copy -> one transaction             (switch)
    body removed -> row dropped -> ... -> home -> no migration  (clear)

Until the switch everybody goes on with the bodies there are; the copies are nobody's. For the
switch the store is had alone, so that no open engine keeps the old driver in hand. One process at
a time does any of this (`locks/migration`). Knows no container's and no image's name.
"""

import errno
import os
from collections.abc import Iterable, Mapping

from lamina.drivers import scratch
from lamina.drivers.api import Driver
from lamina.errors import InUse, LaminaError, StorageError, from_oserror
from lamina.fs.faults import crash_point
from lamina.fs.remove import remove_tree
from lamina.kernel.ioctl import syncfs
from lamina.layers import copying, gc, indexes, recover
from lamina.layers.store import LayerStore
from lamina.metadata import copies, layers, refs
from lamina.metadata.copies import Migration
from lamina.metadata.db import set_meta
from lamina.metadata.layers import LayerRow
from lamina.values.ids import LayerID

# of a home that holds more than the driver's own, or is a mount point or a link to elsewhere
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR)


class Bodies:
    """The bodies of a store's layers on `other`, beside those on the driver in use."""

    def __init__(self, store: LayerStore, other: Driver) -> None:
        self.other = other
        self._store = store
        self._root = store.root
        self._trash = self._root.folder("trash", "migration")

    # --- copying ------------------------------------------------------------------------

    def missing(self) -> list[LayerRow]:
        """The committed layers that have no copy yet, parents first; this opener holds all."""
        with self._root.database.write() as db:
            rows = [row for row in layers.ready(db) if row.chain_id is not None]
            for row in rows:
                refs.add(db, refs.LEASE, self._root.lease, str(row.chain_id))
            here = {copy.layer for copy in copies.all_rows(db) if copy.state == "ready"}
        return [row for row in reversed(layers.children_first(rows)) if row.id not in here]

    def writable(self) -> list[LayerRow]:
        """The read-write layers of containers."""
        with self._root.database.read() as db:
            return [row for row in layers.ready(db) if row.chain_id is None]

    def discard_stale(self) -> None:
        """Remove what a killed run left half made, and copies of layers that are gone."""
        with self._root.database.read() as db:
            stale = copies.stale(db, self._root.boot_id)
        with self._root.database.write() as db:
            copies.doom(db, stale)
        for layer in stale:
            self._erase(layer)

    def copy(self, row: LayerRow) -> None:
        """Copy one layer and verify it; nothing of the copy is left when it raises.

        Raises `InUse` for a read-write layer that something has mounted.
        """
        mark = ""
        if row.chain_id is None:
            mark = copying.mark_of(self._store.driver, row)
            self._refuse_used(row)  # what was begun before the mark could still change it unseen
        os.makedirs(self._trash, mode=0o700, exist_ok=True)  # a full disk would not take it
        with self._root.database.write(durable=True) as db:  # before what it names is on disk
            copies.begin(db, row.id, self._root.boot_id)
        crash_point("copy-noted")
        try:
            self._write(row)
            with self._root.database.write() as db:
                copies.settle(db, row.id, mark)
        except BaseException:
            self._erase(row.id)
            raise
        crash_point("copy-settled")

    def _write(self, row: LayerRow) -> None:
        if row.chain_id is not None:
            copying.copy_committed(self._root, self._store.driver, self.other, row)
            return
        with self._store.using(row.id):
            copying.copy_writable(self._store.driver, self.other, row)

    def copy_if_still(self, row: LayerRow) -> None:
        """Copy a read-write layer, or leave it for the switch when it is being written to."""
        before = None
        try:
            if self.is_current(row) or gc.is_used(self._root, row.id):
                return
            before = copying.mark_of(self._store.driver, row)
            self.renew(row)
        except InUse:
            return
        except (OSError, LaminaError):
            if self._is_there(row) and (
                before is None or copying.mark_of(self._store.driver, row) == before
            ):
                raise

    def _is_there(self, row: LayerRow) -> bool:
        """Whether a layer is not being removed, nor gone."""
        with self._root.database.read() as db:
            return any(each.id == row.id for each in layers.ready(db))

    def is_current(self, row: LayerRow) -> bool:
        """Whether a read-write layer has a copy, and has not been changed since."""
        with self._root.database.read() as db:
            known = {copy.layer: copy for copy in copies.all_rows(db) if copy.state == "ready"}
        found = known.get(row.id)
        return found is not None and found.mark == copying.mark_of(self._store.driver, row)

    def renew(self, row: LayerRow) -> None:
        """Copy a read-write layer, whose copy is missing or of an earlier state."""
        with self._root.database.write(durable=True) as db:  # a body that goes must not count
            copies.doom(db, [row.id])
        self._erase(row.id)
        self.copy(row)

    # --- switching ----------------------------------------------------------------------

    def switch(self, migration: Migration, facts: Mapping[str, str]) -> list[LayerRow]:
        """Let every layer be on the other driver; for who has the store alone. Gives them all.

        What is missing is copied first. `facts` about the driver are noted; `tidy` is to follow.
        Raises `InUse` for a layer that something has mounted, or what `copy` raises.
        """
        recover.settle(self._root, lambda: self._store.driver)
        self.discard_stale()
        for row in self.missing():
            self.copy(row)
        for row in self.writable():
            self._refuse_used(row)
            if not self.is_current(row):
                self.renew(row)
        self.make_durable()
        crash_point("switch-synced")
        with self._root.database.write(durable=True) as db:
            copied = {copy.layer for copy in copies.all_rows(db) if copy.state == "ready"}
            rows = self._all_ready(layers.ready(db), layers.unsettled(db), copied)
            copies.switch(db, migration, [row.id for row in rows])
            for key, value in facts.items():
                set_meta(db, key, value)
        crash_point("switched")
        return [row._replace(driver=migration.target) for row in rows]

    def refuse_used(self) -> None:
        """Raises `InUse` when something has a read-write layer mounted."""
        for row in self.writable():
            self._refuse_used(row)

    def _refuse_used(self, row: LayerRow) -> None:
        if gc.is_used(self._root, row.id):
            raise InUse(
                f"the layer {row.id.short} is in use: something has it mounted or reads it",
                hint="end that first, and migrate again: what is copied stays copied",
            )

    def _all_ready(
        self, ready: list[LayerRow], unsettled: list[LayerRow], copied: set[LayerID]
    ) -> list[LayerRow]:
        if unsettled:
            raise StorageError(
                f"the layer {unsettled[0].id.short} is to be removed and cannot be",
                hint="run `lamina check`",
            )
        for row in ready:
            if row.id not in copied:
                raise StorageError(f"the layer {row.id.short} has no copy", hint="migrate again")
        return list(reversed(layers.children_first(ready)))

    def make_durable(self) -> None:
        """Let what is copied survive a power cut, so that it need not be copied again.

        Also what lies on a file system of its own, as a dataset does.
        """
        with self._root.database.read() as db:
            copied = [copy.layer for copy in copies.all_rows(db)]
        _sync({self.other.location(layer) for layer in copied}, self._root.path)
        self._store.barrier()
        with self._root.database.write() as db:
            copies.mark_durable(db, copied)

    def tidy(self, rows: list[LayerRow]) -> None:
        """Put the indexes of switched layers in their usual places; for who has the store alone.

        Where this fails they stay where they are, and are found there. Raises OSError.
        """
        shared = [row.diff_id for row in rows]
        for row in rows:
            indexes.tidy(self._root, row, alone=shared.count(row.diff_id) == 1)

    # --- clearing -----------------------------------------------------------------------

    def clear(self) -> None:
        """Remove every body that a row names, then the driver's home, then the migration.

        Raises a `StorageError` for what cannot be removed; the rest is tried again later.
        """
        with self._root.database.read() as db:
            doomed = [copy.layer for copy in copies.all_rows(db)]
        for layer in doomed:
            self._erase(layer)
            crash_point("body-erased")
        self._remove_home()
        remove_tree(self._trash)
        crash_point("home-removed")
        with self._root.database.write() as db:
            copies.end(db)

    def _erase(self, layer: LayerID) -> None:
        """A body and all that came with it, then its row."""
        os.makedirs(self._trash, mode=0o700, exist_ok=True)
        self.other.remove(layer, self._trash)
        self._empty_trash()
        copying.discard_indexes(self._root, layer, self.other)
        with self._root.database.write() as db:
            copies.forget(db, layer)

    def _empty_trash(self) -> None:
        """Of bodies that a migration removes; what a killed one renamed away goes, too."""
        for name in os.listdir(self._trash):
            remove_tree(os.path.join(self._trash, name))

    def _remove_home(self) -> None:
        """The driver's own files, unless layers lie there that no row names.

        What else lies there is somebody's, and stays with the home.
        """
        strays = list(self.other.layers())
        if strays:
            raise StorageError(
                f"{self.other.home} holds the layer {strays[0].short}, which no row names",
                hint="move it away, if it is nobody's",
            )
        try:
            scratch.clear(self.other.home)
            for name in self.other.own:
                remove_tree(os.path.join(self.other.home, name))
            os.rmdir(self.other.home)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise from_oserror(error, "removing", self.other.home) from error


def _sync(paths: Iterable[str], root: str) -> None:
    """Write to disk every file system that one of the paths lies on, but for the root's own."""
    done = {os.stat(root).st_dev}
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # of a device it is its record
        try:
            device = os.fstat(descriptor).st_dev
            if device not in done:
                done.add(device)
                syncfs(descriptor)
        except OSError as error:
            raise from_oserror(error, "writing to disk", path) from error
        finally:
            os.close(descriptor)
