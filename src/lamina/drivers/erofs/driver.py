"""The contract of a driver, kept with tars, EROFS images over them, and overlayfs.

A layer that comes is kept as its tar while its tree is gathered in memory, and its image is
written in the end; reading goes through mounts of the images, which all users share. What
extracts and compares is imported when it is first used.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers import upper
from lamina.drivers.api import OnPlaced, is_complete
from lamina.drivers.erofs.layout import DATA, IMAGE, TAR, Layout
from lamina.errors import from_oserror
from lamina.fs.locks import FileLock, Rank
from lamina.fs.marks import KERNEL
from lamina.fs.mounting import (
    LOWERS,
    Bind,
    Erofs,
    Limited,
    MountPlan,
    Stacked,
    open_detached,
    open_trees,
)
from lamina.fs.remove import remove_into
from lamina.fs.shared import dissolve, drop, hold_path, refusal
from lamina.fs.tree import FlatTree, StackedTree, TreeView
from lamina.fs.usage import Usage, usage_of
from lamina.kernel.statfs import filesystem_name
from lamina.values.ids import LayerID

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class ErofsDriver:
    """Layers beneath `home`; mounts that are shared live beneath `run`."""

    name = "erofs"
    own: tuple[str, ...] = ()

    def __init__(self, home: str, run: str) -> None:
        self.home = home
        self._layout = Layout(home, os.path.join(run, "shared"))
        self._layout.prepare()
        self._hold: FileLock | None = None
        self._holding = threading.Lock()

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """Make the layer's directory."""
        try:
            self._layout.make(layer)
            if parent is not None:
                self._layout.stand_on(layer, self._below_over(layer, parent))
        except OSError as error:
            raise from_oserror(error, "making an erofs layer in", self.home) from error

    def _below_over(self, layer: LayerID, parent: LayerID) -> list[str]:
        """What a layer over `parent` stands on: one flat tree where the kernel unites no more."""
        below = [parent, *self._layout.below(parent)]
        if len(below) <= LOWERS:
            return below
        from lamina.drivers import flat  # hardly ever

        def opened() -> int:
            return open_detached(self.mounts(parent, writable=False))

        flat.lay(self._layout.path(layer), self._layout.path(parent), opened)
        return [f"{parent}/{flat.NAME}"]

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`, with the directories that overlayfs writes to.

        A limit makes them directories of a file system of that size, in a file.
        """
        self.create(layer, parent)
        try:
            if size:
                self._layout.make_limited(layer, size)
            else:
                self._layout.make_writable(layer)
        except OSError as error:
            raise from_oserror(error, "making an erofs layer in", self.home) from error

    def copy_own(self, layer: LayerID, source: LayerID) -> bool:
        """Copy the upper directory, sharing blocks where the file system can; not out of a file."""
        if self._layout.limited(layer) or self._layout.limited(source):
            return False
        origin, made = (self._layout.path(each, "diff") for each in (source, layer))
        upper.copy(origin, made, KERNEL, self.home)
        return True

    def limit(self, layer: LayerID) -> int | None:
        """As it was noted when the layer was made."""
        return self._layout.limit(layer)

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> Figures:
        """Keep the tar; what its members mean over the layers below becomes the image."""
        return self.apply_ahead(layer, segments, on_placed, salvage_fd, is_complete)

    def apply_ahead(
        self,
        layer: LayerID,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None,
        complete: Callable[[], None],
    ) -> Figures:
        """The same, of layers whose lower ones have no image yet."""
        from lamina.archive.erofs.layer import write_layer
        from lamina.fs.later import LaterTree

        def below() -> TreeView:
            complete()
            return self._stack(self._layout.steps_below(layer))

        lower = LaterTree(below) if self._layout.below(layer) else None
        try:
            return write_layer(self._layout.path(layer), segments, lower, on_placed)
        finally:
            if lower is not None:
                lower.close()

    def _stack(self, steps: Iterable[Erofs | str]) -> StackedTree:
        return StackedTree(self._open(tuple(steps)))

    def _open(self, steps: tuple[Erofs | str, ...]) -> list[int]:
        if any(isinstance(step, Erofs) for step in steps):
            with self._holding:
                self._take_hold()
        try:
            return open_trees(steps)
        except OSError as error:
            raise from_oserror(error, "opening a layer of", self.home) from error

    def _take_hold(self) -> None:
        if self._hold is not None:
            return
        os.makedirs(self._layout.shared, mode=0o700, exist_ok=True)
        hold = FileLock(hold_path(self._layout.shared), Rank.LEASE)
        hold.acquire(shared=True)
        self._hold = hold

    def close(self) -> None:
        """Let go of the shared mounts; who comes last takes them down."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        try:
            dissolve(self._layout.shared)
        except OSError as error:
            raise from_oserror(error, "taking down the mounts at", self._layout.shared) from error

    def commit(self, layer: LayerID) -> None:
        """Nothing to do: a tar and an image are written once."""

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """The image alone, or an overlay of it and all below; `diff/` is a writable's upper."""
        below = self._layout.steps_below(layer)
        own = self._layout.step(layer)
        hold = self._ready_hold()
        limited = self._layout.limited(layer)
        if limited is not None:  # its own directory is empty: somewhere to look into, or to mount
            diff = self._layout.path(layer, "diff")
            return MountPlan(Limited(below or (diff,), limited, diff), (hold,))
        if not below:
            return MountPlan(Bind(own, not writable) if isinstance(own, str) else own, (hold,))
        if writable and isinstance(own, str):
            return MountPlan(Stacked(below, own, self._layout.path(layer, "work")), (hold,))
        return MountPlan(Stacked((own, *below), None, None), (hold,))

    def _ready_hold(self) -> str:
        os.makedirs(self._layout.shared, mode=0o700, exist_ok=True)
        return hold_path(self._layout.shared)

    def writable_root(self, layer: LayerID) -> str:
        """The upper directory, or the file that holds it."""
        return self._layout.limited(layer) or self._layout.path(layer, "diff")

    def view(self, layer: LayerID) -> TreeView:
        """The united tree, read through mounts of the images that are attached nowhere."""
        own = self._open_own(layer)
        try:
            return StackedTree([own, *self._open(self._layout.steps_below(layer))])
        except BaseException:
            os.close(own)
            raise

    def own_tree(self, layer: LayerID) -> TreeView:
        """The image alone, or `diff/`."""
        return FlatTree(self._open_own(layer))

    def _open_own(self, layer: LayerID) -> int:
        """What `layer` itself holds, by a descriptor."""
        if not self._layout.is_writable(layer):
            return self._open((self._layout.step(layer),))[0]
        path = self.writable_root(layer)
        try:
            if path == self._layout.limited(layer):
                from lamina.fs.limited import open_upper  # few need it

                return open_upper(path)
            return os.open(path, _DIRECTORY)
        except OSError as error:
            raise from_oserror(error, "opening", path) from error

    def open_tar(self, layer: LayerID) -> int:
        """The tar as it lies there."""
        return os.open(self._layout.path(layer, TAR), os.O_RDONLY | os.O_CLOEXEC)

    def verify(self, layer: LayerID) -> None:
        """Read the image, and compare what lies beside the tar with its digest."""
        from lamina.archive.erofs.reader import check_image

        data = self._layout.path(layer, DATA)
        check_image(
            self._layout.path(layer, IMAGE),
            self._layout.path(layer, TAR),
            data if os.path.exists(data) else None,
        )

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """Read off the upper directory; work grows with the changes, not with the image."""
        from lamina.archive.diff import upper_changes

        upper = self._open_own(layer)
        try:
            lower = self._stack(self._layout.steps_below(layer))
            try:
                yield from upper_changes(upper, lower)
            finally:
                lower.close()
        finally:
            os.close(upper)

    def usage(self, layer: LayerID) -> Usage:
        """What the layer holds; on disk its tar and image take up less than the files would."""
        root = self._open_own(layer)
        try:
            measured = usage_of(root)
        finally:
            os.close(root)
        if self._layout.is_writable(layer):
            return measured
        return measured._replace(disk=sum(self._disk(layer, name) for name in (TAR, IMAGE, DATA)))

    def _disk(self, layer: LayerID, name: str) -> int:
        try:
            return os.stat(self._layout.path(layer, name)).st_blocks * 512
        except FileNotFoundError:
            return 0

    def remove(self, layer: LayerID, trash: str) -> None:
        """Unmount it where it is shared, then unlink its files."""
        try:
            drop(self._layout.shared, layer)
        except OSError as error:
            raise from_oserror(error, "unmounting layer", layer) from error
        remove_into(self._layout.path(layer), trash)

    def layers(self) -> Iterator[LayerID]:
        """Every layer directory in the home."""
        yield from (LayerID(name) for name in sorted(os.listdir(self.home)) if len(name) == 64)

    def location(self, layer: LayerID) -> str:
        """The layer's directory."""
        return self._layout.path(layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """What lies below, how images are mounted on it, and whether their mounts are shared."""
        from lamina.drivers.erofs.trial import way_of_mounting

        alone = refusal(self._layout.shared)
        return (
            ("Backing Filesystem", filesystem_name(self.home)),
            ("Images Mounted", way_of_mounting(self.home)),
            ("Mounts Shared", f"false ({alone})" if alone else "true"),
            ("Native Overlay Diff", "true"),
        )

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """The tar and the image, or the directories of a read-write layer."""
        rows = [("LowerLayers", ":".join(self._layout.below(layer)))]
        limited = self._layout.limited(layer)
        if limited is not None:
            rows.append(("UpperFile", limited))
        elif self._layout.is_writable(layer):
            rows.append(("UpperDir", self._layout.path(layer, "diff")))
            rows.append(("WorkDir", self._layout.path(layer, "work")))
        else:
            rows.append(("Tar", self._layout.path(layer, TAR)))
            rows.append(("Image", self._layout.path(layer, IMAGE)))
            if os.path.exists(self._layout.path(layer, DATA)):
                rows.append(("Contents", self._layout.path(layer, DATA)))
        return tuple(row for row in rows if row[1])
