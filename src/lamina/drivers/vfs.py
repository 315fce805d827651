"""The vfs driver: every layer a full copy of all below it; works on any file system.

    <home>/dir/<id>       the layer's whole tree
    <home>/stamps/<id>    touched once the copy of the parent was complete

The last resort: nothing is shared between layers except where the file system can reflink. A
file whose times and size were restored after a change is still found, because its ctime is not
older than the stamp. What extracts and compares is imported when it is first used.
"""

import os
from collections.abc import Iterable, Iterator

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers.api import Features, OnPlaced, Probe
from lamina.errors import DriverNotSupported, from_oserror
from lamina.fs.atomic import unlink_if_there
from lamina.fs.copy import copy_tree
from lamina.fs.mounting import Bind, MountPlan
from lamina.fs.remove import remove_into
from lamina.fs.tree import FlatTree, TreeView
from lamina.fs.usage import Usage, usage_of
from lamina.kernel.statfs import filesystem_name
from lamina.values.ids import LayerID

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def probe(home: str) -> Probe:
    """vfs needs nothing of the kernel or the file system; a reflink makes its copies cheap."""
    from lamina.drivers.features import REFLINK, reflink  # once a boot
    from lamina.drivers.scratch import scratch

    try:
        with scratch(home) as folder:
            found: Features = ((REFLINK, reflink(folder)),)
    except OSError:
        found = ()  # what is wrong there, opening the store says
    return Probe(True, "copies files, which every file system can", found)


class VfsDriver:
    """Layers as full copies beneath `home`."""

    name = "vfs"
    own = ("dir", "stamps")
    copies_parents = True

    def __init__(self, home: str) -> None:
        self.home = home
        for folder, mode in ((home, 0o710), (self._dir(), 0o700), (self._stamps(), 0o700)):
            os.makedirs(folder, mode=mode, exist_ok=True)

    def _dir(self, *names: str) -> str:
        return os.path.join(self.home, "dir", *names)

    def _stamps(self, *names: str) -> str:
        return os.path.join(self.home, "stamps", *names)

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """Make the layer's directory, with a copy of the parent's tree in it."""
        try:
            os.mkdir(self._dir(layer), 0o755)
            os.chmod(self._dir(layer), 0o755)
            if parent is not None:
                self._copy(parent, layer)
        except OSError as error:
            raise from_oserror(error, "making a vfs layer in", self.home) from error

    def _copy(self, parent: LayerID, layer: LayerID) -> None:
        source = os.open(self._dir(parent), _DIRECTORY)
        try:
            target = os.open(self._dir(layer), _DIRECTORY)
            try:
                copy_tree(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`, and stamp the moment from which a change counts."""
        if size is not None:
            raise DriverNotSupported(
                "vfs cannot limit the size of a layer", hint="leave out --storage-opt size"
            )
        self.create(layer, parent)
        with open(self._stamps(layer), "wb"):
            pass

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> Figures:
        """Write the members into the copy; a whiteout deletes."""
        from lamina.archive.apply import FLAT, apply

        root = os.open(self._dir(layer), _DIRECTORY)
        try:
            return apply(
                root,
                segments,
                lower=None,
                form=FLAT,
                on_placed=on_placed,
                salvage_fd=salvage_fd,
            )
        finally:
            os.close(root)

    def commit(self, layer: LayerID) -> None:
        """Nothing to do: a copy is immutable by nobody's mounting it writable."""

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """The directory itself."""
        return MountPlan(Bind(self._dir(layer), not writable))

    def writable_root(self, layer: LayerID) -> str:
        """The copy itself."""
        return self._dir(layer)

    def view(self, layer: LayerID) -> TreeView:
        """The directory itself."""
        return FlatTree(os.open(self._dir(layer), _DIRECTORY))

    own_tree = view

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """Walk both trees; compare contents where only the ctime tells of a touch."""
        from lamina.archive.diff import tree_changes

        stamp = os.stat(self._stamps(layer)).st_ctime_ns
        new = self.view(layer)
        try:
            old = self.view(parent) if parent is not None else _nothing()
            try:
                yield from tree_changes(new, old, suspicious=lambda s: s.st_ctime_ns >= stamp)
            finally:
                old.close()
        finally:
            new.close()

    def usage(self, layer: LayerID) -> Usage:
        """The whole copy: on vfs a layer takes up all that is below it, too."""
        root = os.open(self._dir(layer), _DIRECTORY)
        try:
            return usage_of(root)
        finally:
            os.close(root)

    def remove(self, layer: LayerID, trash: str) -> None:
        """Rename the copy away, then erase it."""
        remove_into(self._dir(layer), trash)
        unlink_if_there(self._stamps(layer))

    def layers(self) -> Iterator[LayerID]:
        """Every directory in `dir/`."""
        yield from (LayerID(name) for name in sorted(os.listdir(self._dir())) if len(name) == 64)

    def location(self, layer: LayerID) -> str:
        """The layer's directory."""
        return self._dir(layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """vfs has one fact to tell."""
        return (("Backing Filesystem", filesystem_name(self.home)),)

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """Where the copy lies."""
        return (("SourceDir", self._dir(layer)),)


def _nothing() -> TreeView:
    from lamina.fs.tree import StackedTree

    return StackedTree(())
