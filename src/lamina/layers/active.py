"""The read-write layers of one store: made, kept from being removed, told of, removed.

A read-write layer belongs to its maker's lease until a container's row adopts it. Whoever uses
one holds its lock shared, whoever removes it has the lock alone. Knows no container.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.drivers.api import CopiesParents, Driver, LimitsSize
from lamina.errors import InUse, LayerNotFound, LockHeld
from lamina.fs.atomic import unlink_if_there
from lamina.fs.faults import crash_point
from lamina.fs.locks import hold_shared
from lamina.layers import gc, recover
from lamina.layers.layer import Layer
from lamina.metadata import layers
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID
from lamina.values.ids import LayerID

if TYPE_CHECKING:  # loaded by what does more than look at rows
    from lamina.archive.results import Change
    from lamina.fs.usage import Usage

_PATIENCE = 2.0  # seconds for whoever uses, or removes, a layer to be done with it


class ActiveLayers:
    """Read-write layers on one driver beneath one root.

    Opening it finishes what dead processes left.

    The driver is made when it is first needed: who only reads rows pays for none.
    """

    def __init__(self, root: StoreRoot, make: Callable[[], Driver]) -> None:
        self.root = root
        self._make = make
        self._driver: Driver | None = None
        self._making = threading.Lock()
        recover.settle(root, lambda: self.driver)

    @property
    def driver(self) -> Driver:
        """The driver in use."""
        with self._making:
            if self._driver is None:
                self._driver = self._make()
            return self._driver

    def prepare(self) -> None:
        """Make the driver now, and with it its home."""
        _ = self.driver

    def use(self, driver: Driver) -> Driver:
        """Go on with another driver; gives the one that was in use."""
        old, self._driver = self.driver, driver
        return old

    def _row(self, chain_id: ChainID) -> LayerRow:
        with self.root.database.read() as db:
            row = layers.by_chain(db, chain_id)
        if row is None:
            raise LayerNotFound(f"no layer with chain ID {chain_id.short} in this store")
        return row

    def parent_row(self, parent: ChainID | None) -> LayerRow | None:
        """The row of what is to be stood on; None for nothing."""
        return self._row(parent) if parent is not None else None

    def create_rw(self, parent: ChainID | None, *, size: int | None = None) -> LayerID:
        """Make a read-write layer over `parent`; it is this opener's until it is adopted.

        Whatever of it is not adopted (a container's row does that) goes when its maker dies.
        """
        driver = self.driver  # made, if need be, before others wait for the database
        with self.root.database.write() as db:
            below = self.parent_row(parent)
            layer = self._stage_rw(db, driver.name, below.id if below else None)
        return self._made_rw(layer, below.id if below else None, size)

    def create_rw_like(self, layer: LayerID) -> LayerID:
        """Make a read-write layer over what another one stands on, with the same limit."""
        row = self._row_by_id(layer)
        with self.root.database.write() as db:
            layer = self._stage_rw(db, self.driver.name, row.parent)
        return self._made_rw(layer, row.parent, self.limit_of(row.id))

    def _stage_rw(self, db: sqlite3.Connection, driver: str, parent: LayerID | None) -> LayerID:
        layer = LayerID.from_random(os.urandom(32))
        layers.stage(
            db,
            layer,
            driver=driver,
            kind="active",
            below=parent,
            lease=self.root.lease,
            created=time.time(),
            boot_id=self.root.boot_id,
        )
        return layer

    def _made_rw(self, layer: LayerID, parent: LayerID | None, size: int | None) -> LayerID:
        crash_point("rw-staged")
        try:
            self.driver.create_rw(layer, parent, size)
        except BaseException:
            self.remove_rw(layer)
            raise
        crash_point("rw-created")
        return layer

    def fork_rw(self, layer: LayerID, made: frozenset[bytes] = frozenset()) -> LayerID:
        """Make a read-write layer that has changed what `layer` has; as `create_rw` else.

        Nobody may write to `layer` meanwhile. What was `made` in it to mount on is left out.
        """
        from lamina.layers import forking

        with self.using(layer):
            row = self._row_by_id(layer)
            forked = self.create_rw_like(layer)
            try:
                forking.fill(self.driver, row, forked, made)
            except BaseException:
                self.remove_rw(forked)
                raise
        crash_point("layer-forked")
        return forked

    def limit_of(self, layer: LayerID) -> int | None:
        """How many bytes a read-write layer may hold."""
        driver = self.driver
        return driver.limit(layer) if isinstance(driver, LimitsSize) else None

    def remove_rw(self, layer: LayerID) -> None:
        """Remove a read-write layer that is being made, or whose row says that it is to go.

        Either row is intent enough: nothing is written before the files are gone, so that a full
        disk can be emptied. Raises `InUse`.
        """
        with self.unused(layer):
            self.erase_doomed(layer)

    def erase_doomed(self, layer: LayerID) -> None:
        """The same for whoever has it alone already."""
        gc.erase(self.root, self.driver, [self._row_by_id(layer)])

    @contextmanager
    def using(self, layer: LayerID) -> Iterator[None]:
        """Keep a read-write layer from being removed for the block's time.

        Raises `LayerNotFound` when it is gone, or going.
        """
        path = gc.use_lock(self.root, layer).path
        descriptor = hold_shared(path, _PATIENCE)
        try:
            try:
                row = self._row_by_id(layer)
            except LayerNotFound:
                unlink_if_there(path)  # made for nothing
                raise
            if row.state == "removing":
                raise LayerNotFound(f"the layer {layer.short} is being removed")
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def unused(self, layer: LayerID) -> Iterator[None]:
        """Keep everybody from using a read-write layer, to remove it; raises `InUse`."""
        lock = gc.use_lock(self.root, layer)
        try:
            lock.acquire(timeout=_PATIENCE)
        except LockHeld:
            raise InUse(
                f"the layer {layer.short} is in use: something has it mounted or reads it",
                hint="end that first",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def snapshot_rw(
        self,
        layer: LayerID,
        *,
        clamp: int | None = None,
        made: frozenset[bytes] = frozenset(),
    ) -> Layer | None:
        """Make what a read-write layer changed into a committed layer; None when nothing.

        The read-write layer stays as it is. With `clamp` (seconds since the epoch) no time
        in the new layer is later than that. What was `made` in it to mount on is no change.
        """
        from lamina.layers import pack, unpack

        row = self._row_by_id(layer)
        parent = self._row_by_id(row.parent) if row.parent is not None else None
        with self.using(layer):
            pack.sync_limited(self.driver, row)
            with pack.changed(self.driver, row, clamp, made) as source:
                if source is None:
                    return None
                return unpack.register(self.root, self.driver, parent, source, None, durable=False)

    def _row_by_id(self, layer: LayerID) -> LayerRow:
        with self.root.database.read() as db:
            return layers.by_id(db, layer)

    def changes(self, layer: LayerID, made: frozenset[bytes] = frozenset()) -> Iterator["Change"]:
        """What a read-write layer changed, sorted by path, in docker's A, C and D.

        What was `made` in it to mount on is no change.
        """
        from lamina.layers import pack

        with self.using(layer):
            yield from pack.changes_without(self.driver, self._row_by_id(layer), made)

    def usage(self, layer: LayerID) -> "Usage":
        """What a read-write layer itself brings, measured now; of a copy, what it changed."""
        with self.using(layer):
            if not isinstance(self.driver, CopiesParents):
                return self.driver.usage(layer)
            return self._changed_bytes(self._row_by_id(layer))

    def _changed_bytes(self, row: LayerRow) -> "Usage":
        from lamina.drivers import naive

        view = self.driver.view(row.id)
        try:
            return naive.usage(self.driver.changes(row.id, row.parent), view)
        finally:
            view.close()
