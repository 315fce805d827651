"""The contract of a driver, kept with thin devices.

    <home>/devicemapper/      0700   data and metadata (sparse files), unless a pool is named; lock
    <home>/metadata/<id>      0600   a device's record (`records`)

A device has a file system with the layer and all below it: a snapshot of its parent's, or of the
empty one. Once committed it is only ever shown read-only. Whoever needs a layer mounts its device
for himself (`fs.thin`); nothing is in the host's mount table.
"""

import os
from collections.abc import Iterable, Iterator, Mapping

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers.api import OnPlaced
from lamina.drivers.devicemapper.base import base, grow, program
from lamina.drivers.devicemapper.pool import ThinPool
from lamina.drivers.devicemapper.records import BASE, Record
from lamina.drivers.devicemapper.settings import sectors, settings
from lamina.errors import DriverNotSupported, StorageError, from_oserror
from lamina.fs.mounting import MountPlan, open_detached
from lamina.fs.thin import SECTOR, Pool
from lamina.fs.tree import FlatTree, TreeView
from lamina.fs.usage import Usage
from lamina.kernel.ioctl import syncfs
from lamina.values.ids import LayerID
from lamina.values.size import human, human_binary


class DevicemapperDriver:
    """Layers as thin devices; `home` holds their records and, by default, their pool."""

    name = "devicemapper"
    own = ("devicemapper", "metadata")

    def __init__(self, home: str, options: Mapping[str, str] | None = None) -> None:
        """Raises `ConfigurationError` for options that say nothing."""
        self.home = home
        os.makedirs(home, mode=0o710, exist_ok=True)
        self._devices = ThinPool(home, settings(options or {}))

    def close(self) -> None:
        """Let go of the pool; whoever comes last takes it down."""
        try:
            self._devices.close()
        except OSError as error:
            raise self._devices.told(error) from error

    def _record(self, layer: LayerID) -> Record:
        record = self._devices.records.get(layer)
        if record is None:
            raise from_oserror(
                FileNotFoundError(2, os.strerror(2)), "finding the device of", self.location(layer)
            )
        return record

    # --- making -------------------------------------------------------------------------

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """A snapshot of the parent's device."""
        self.create_rw(layer, parent)

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`; `size` is that of the device, with all that is below it."""
        program(self._devices.settings.kind)
        origin = self._record(parent) if parent is not None else None
        with self._devices.locked() as pool:
            origin = origin or base(self._devices, pool)
            wanted = self._size(origin, size)
            record = self._devices.make(pool, layer, parent or "", origin, wanted)
            if wanted > origin.size:
                grow(self._devices.step(layer, record, readonly=False), wanted)

    def _size(self, origin: Record, size: int | None) -> int:
        least = max(origin.size, self._devices.settings.base)
        if size is None:
            return least
        if size < least:
            raise DriverNotSupported(
                f"devicemapper: a container's size cannot be smaller than {human_binary(least)}",
                hint="leave out --storage-opt size, or begin a store with a smaller dm.basesize",
            )
        return sectors(size) * SECTOR

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> Figures:
        """Write the members into the snapshot; a whiteout deletes. On disk when it returns."""
        from lamina.archive.apply import FLAT, apply

        root = self._open(layer, readonly=False)
        try:
            done = apply(root, segments, form=FLAT, on_placed=on_placed, salvage_fd=salvage_fd)
            syncfs(root)  # where a pool that is full, or a disk below it, is told of at last
        except (OSError, StorageError) as error:
            full = self._devices.full()
            if full is None and isinstance(error, OSError):
                raise from_oserror(error, "writing a layer to the pool of", self.home) from error
            raise full or error from error
        finally:
            os.close(root)
        return done

    def commit(self, layer: LayerID) -> None:
        """Show the device read-only from now on; `apply` has closed its file system."""
        record = self._record(layer)
        if not record.initialized:
            with self._devices.locked() as pool:
                self._devices.seal(pool, layer, record)

    def limit(self, layer: LayerID) -> int | None:
        """The device's size, where one was asked for: every device has an end."""
        size, first = self._record(layer).size, self._devices.records.get(BASE)
        return size if first is not None and size > first.size else None

    # --- reaching -----------------------------------------------------------------------

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """The device's file system."""
        return MountPlan(self._devices.step(layer, self._record(layer), readonly=not writable))

    def writable_root(self, layer: LayerID) -> str:
        """No directory has a name: what a mount makes is found by the plan's own device."""
        return ""

    def _open(self, layer: LayerID, *, readonly: bool = True) -> int:
        plan = self.mounts(layer, writable=not readonly)
        with self._devices.locked():
            pass  # it is up, what was killed is undone, and it stays up while we are here
        try:
            return open_detached(plan)
        except OSError as error:
            raise self._devices.told(error) from error

    def view(self, layer: LayerID) -> TreeView:
        """The device's tree, by a mount that is attached nowhere."""
        return FlatTree(self._open(layer))

    own_tree = view

    # --- comparing ----------------------------------------------------------------------

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """By walking both trees."""
        from lamina.drivers import naive

        new = self.view(layer)
        try:
            old = self.view(parent) if parent is not None else None
            try:
                yield from naive.changes(new, old, self._record(layer).made)
            finally:
                if old is not None:
                    old.close()
        finally:
            new.close()

    def usage(self, layer: LayerID) -> Usage:
        """What changed over the device that it is a snapshot of."""
        from lamina.drivers import naive

        parent = self._record(layer).parent
        tree = self.view(layer)
        try:
            return naive.usage(self.changes(layer, LayerID(parent) if parent else None), tree)
        finally:
            tree.close()

    # --- removing -----------------------------------------------------------------------

    def remove(self, layer: LayerID, trash: str) -> None:
        """Delete the device, which nothing half visible survives, then its record."""
        if self._devices.records.get(layer) is None:
            return
        with self._devices.locked() as pool:
            record = self._devices.records.get(layer)
            if record is not None:  # else what its maker left was undone just now
                self._devices.drop(pool, layer, record)
            first = self._devices.records.get(BASE)
            if first is not None and not pool.is_ours and not self._devices.records.names():
                self._devices.drop(pool, BASE, first)  # nothing of ours stays in another's pool

    def set_aside(self, layer: LayerID, target: str) -> str:
        """Move the record; the device stays in the pool, under its number."""
        record = self._record(layer)
        with self._devices.locked() as pool:
            os.rename(self.location(layer), target)
            self._devices.records.settle()
            return f"{target} (device {record.device_id} of {pool.name})"

    # --- telling ------------------------------------------------------------------------

    def layers(self) -> Iterator[LayerID]:
        """Every layer that has a record."""
        yield from map(LayerID, self._devices.records.names())

    def location(self, layer: LayerID) -> str:
        """The device's record."""
        return self._devices.records.path(layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """The rows that docker's users know, and what to think of a pool in files."""
        with self._devices.locked() as pool:
            space = self._devices.space(pool)
            first = self._devices.records.get(BASE)
        size = first.size if first is not None else self._devices.settings.base
        return (
            ("Pool Name", pool.name),
            ("Base Device Size", human(size)),
            ("Backing Filesystem", self._devices.device_set().base_device_filesystem),
            *_files(pool),
            ("Data Space Used", human(space.data_used)),
            ("Data Space Total", human(space.data)),
            ("Data Space Available", human(space.data - space.data_used)),
            ("Metadata Space Used", human(space.metadata_used)),
            ("Metadata Space Total", human(space.metadata)),
            ("Metadata Space Available", human(space.metadata - space.metadata_used)),
            ("Thin Pool Minimum Free Space", human(space.data * self._devices.settings.free / 100)),
            ("Deferred Removal Enabled", "true"),
        )

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """Which device it is, as `docker inspect` names it."""
        record = self._record(layer)
        step = self._devices.step(layer, record, readonly=True)
        return (
            ("DeviceId", str(record.device_id)),
            ("DeviceName", step.name),
            ("DeviceSize", str(record.size)),
        )


def _files(pool: Pool) -> tuple[tuple[str, str], ...]:
    if not pool.is_ours:
        return ()
    return (
        ("Data loop file", pool.data),
        ("Metadata loop file", pool.metadata),
        ("Warning", "a pool in files is for trying out; name a device with dm.thinpooldev"),
    )
