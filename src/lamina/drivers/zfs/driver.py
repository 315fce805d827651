"""The contract of a driver, kept with ZFS datasets.

    <parent>/<id>             a dataset with the layer and all below it: a clone of its parent's
                              snapshot; mounted at <home>/graph/<id> when it is first needed
    <parent>/<id>@layer       the committed layer, from which its children are cloned

`<parent>` is the dataset that the home lies on, or the option `zfs.fsname`. A snapshot is on disk
when it is made, so a committed layer is durable without more. Mounts are the host's, one a layer,
because a dataset has one mount point; they stay until the layer is removed.
"""

import os
from collections.abc import Iterable, Iterator, Mapping

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers.api import OnPlaced
from lamina.drivers.zfs.tool import GONE, THERE, Refused, ask, await_others, dataset_of
from lamina.errors import from_oserror
from lamina.fs.mounting import Bind, MountPlan
from lamina.fs.tree import FlatTree, TreeView
from lamina.fs.usage import Usage
from lamina.values.ids import LayerID

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_SNAPSHOT = "layer"
# no dataset of ours is mounted at boot, nor snapshotted by a timer, which would keep it from going
_FIXED = ("canmount=noauto", "com.sun:auto-snapshot=false", "readonly=off")
_NANO = 1_000_000_000


class ZfsDriver:
    """Layers as datasets; `home` holds their mount points."""

    name = "zfs"
    own = ("graph",)

    def __init__(self, home: str, options: Mapping[str, str] | None = None) -> None:
        """Raises `DriverNotSupported` where no dataset is named and the home lies on none."""
        self.home = home
        for folder, mode in ((home, 0o710), (self._graph(), 0o711)):
            os.makedirs(folder, mode=mode, exist_ok=True)
        self.parent = (options or {}).get("zfs.fsname") or dataset_of(home)

    def _graph(self, *names: str) -> str:
        return os.path.join(self.home, "graph", *names)

    def _dataset(self, layer: LayerID) -> str:
        return f"{self.parent}/{layer}"

    def _do(self, *words: str) -> str:
        return ask("zfs", *words, lock=self._graph())

    def _get(self, layer: LayerID, name: str) -> str:
        return ask("zfs", "get", "-Hp", "-o", "value", name, self._dataset(layer))

    # --- making -------------------------------------------------------------------------

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """A new dataset, or a clone of the parent's snapshot."""
        self._make(layer, parent, ())

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`; `size` becomes the dataset's quota: what it holds beyond its parent."""
        self._make(layer, parent, () if size is None else (f"quota={size}",))

    def _make(self, layer: LayerID, parent: LayerID | None, extra: tuple[str, ...]) -> None:
        words = [f"mountpoint={self.location(layer)}", *_FIXED, *extra]
        options = [part for word in words for part in ("-o", word)]
        if parent is None:
            self._do("create", *options, self._dataset(layer))
        else:
            origin = f"{self._dataset(parent)}@{_SNAPSHOT}"
            self._do("clone", *options, origin, self._dataset(layer))
        root = self._mounted(layer)
        if parent is None:
            os.chmod(root, 0o755)

    def limit(self, layer: LayerID) -> int | None:
        """The dataset's quota."""
        return int(self._get(layer, "quota")) or None

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> Figures:
        """Write the members into the clone; a whiteout deletes."""
        from lamina.archive.apply import FLAT, apply

        root = self._open(layer)
        try:
            return apply(root, segments, form=FLAT, on_placed=on_placed, salvage_fd=salvage_fd)
        finally:
            os.close(root)

    def commit(self, layer: LayerID) -> None:
        """Make it read-only and take the snapshot that its children are cloned from."""
        self._do("set", "readonly=on", self._dataset(layer))
        try:
            self._do("snapshot", f"{self._dataset(layer)}@{_SNAPSHOT}")
        except Refused as error:
            if THERE not in error.words:
                raise

    # --- reaching -----------------------------------------------------------------------

    def _mounted(self, layer: LayerID) -> str:
        """The path of a layer, which is mounted there now."""
        path = self.location(layer)
        if os.path.ismount(path):
            return path
        try:
            self._do("mount", self._dataset(layer))
        except Refused:
            if not os.path.ismount(path):  # else another process was first
                raise
        return path

    def _open(self, layer: LayerID) -> int:
        path = self._mounted(layer)
        try:
            return os.open(path, _DIRECTORY)
        except OSError as error:
            raise from_oserror(error, "opening", path) from error

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """The dataset's mount point; the dataset itself is mounted there now."""
        return MountPlan(Bind(self._mounted(layer), not writable))

    def writable_root(self, layer: LayerID) -> str:
        """The dataset's mount point."""
        return self._mounted(layer)

    def view(self, layer: LayerID) -> TreeView:
        """The dataset itself."""
        return FlatTree(self._open(layer))

    own_tree = view

    # --- comparing ----------------------------------------------------------------------

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """By walking both trees."""
        from lamina.drivers import naive

        since = int(self._get(layer, "creation")) * _NANO
        new = self.view(layer)
        try:
            old = self.view(parent) if parent is not None else None
            try:
                yield from naive.changes(new, old, since)
            finally:
                if old is not None:
                    old.close()
        finally:
            new.close()

    def usage(self, layer: LayerID) -> Usage:
        """What changed over the dataset that it is a clone of."""
        from lamina.drivers import naive

        origin = self._get(layer, "origin").partition("@")[0].rpartition("/")[2]
        parent = LayerID(origin) if len(origin) == 64 else None
        tree = self.view(layer)
        try:
            return naive.usage(self.changes(layer, parent), tree)
        finally:
            tree.close()

    # --- removing -----------------------------------------------------------------------

    def remove(self, layer: LayerID, trash: str) -> None:
        """Destroy the dataset with its snapshot, which nothing half visible survives."""
        await_others(self._graph())
        try:
            self._do("destroy", "-r", self._dataset(layer))
        except Refused as error:
            if GONE not in error.words:
                raise
        self._remove_mount_point(layer)

    def _remove_mount_point(self, layer: LayerID) -> None:
        try:
            os.rmdir(self.location(layer))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise from_oserror(error, "removing", self.location(layer)) from error

    def set_aside(self, layer: LayerID, target: str) -> str:
        """Give the dataset a name and no mount point; it stays in the pool."""
        name = f"{self.parent}/lamina-{os.path.basename(target)}"
        if os.path.ismount(self.location(layer)):
            self._do("unmount", self._dataset(layer))
        self._do("set", "mountpoint=none", self._dataset(layer))
        self._do("rename", self._dataset(layer), name)
        self._remove_mount_point(layer)
        return name

    # --- telling ------------------------------------------------------------------------

    def layers(self) -> Iterator[LayerID]:
        """Every dataset below the parent whose mount point is in this home."""
        listed = ask("zfs", "list", "-H", "-o", "name,mountpoint", "-r", "-d", "1", self.parent)
        for line in sorted(listed.splitlines()):
            name, _, target = line.partition("\t")
            identity = name.rpartition("/")[2]
            if len(identity) == 64 and target == self._graph(identity):
                yield LayerID(identity)

    def location(self, layer: LayerID) -> str:
        """The dataset's mount point."""
        return self._graph(layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """The rows that docker's users know."""
        names = "used,available,quota,compression"
        told = ask("zfs", "get", "-Hp", "-o", "value", names, self.parent).splitlines()
        pool = self.parent.partition("/")[0]
        return (
            ("Zpool", pool),
            ("Zpool Health", ask("zpool", "list", "-H", "-o", "health", pool)),
            ("Parent Dataset", self.parent),
            ("Space Used By Parent", told[0]),
            ("Space Available", told[1]),
            ("Parent Quota", "no" if told[2] == "0" else told[2]),
            ("Compression", told[3]),
        )

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """Where the dataset is, as `docker inspect` names it."""
        return (("Dataset", self._dataset(layer)), ("Mountpoint", self.location(layer)))
