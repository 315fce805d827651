"""The contract of a driver, kept with overlayfs.

A layer's own changes lie in `diff/` in overlayfs's form; mounting unites them with all below;
reading needs no mount (`StackedTree`), and a diff is read off the upper directory alone. What
extracts and compares is imported when it is first used.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers import upper
from lamina.drivers.api import OPAQUE, Features, OnPlaced, is_complete
from lamina.drivers.overlay2.layout import Layout
from lamina.errors import from_oserror
from lamina.fs.marks import KERNEL, USER, Marks
from lamina.fs.mounting import LOWERS, Bind, Limited, MountPlan, Overlay, open_detached
from lamina.fs.remove import remove_into
from lamina.fs.tree import FlatTree, StackedTree, TreeView
from lamina.fs.usage import Usage, usage_of
from lamina.kernel.statfs import filesystem_name
from lamina.values.ids import LayerID
from lamina.values.size import parse as parse_size

# redirect_dir=off may mean "follow", which the kernel refuses beside userxattr
BY_USER = ("redirect_dir=nofollow", "userxattr")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OverlayDriver:
    """Layers beneath `home`, united by the kernel.

    The option `overlay2.size` limits read-write layers that come without a size of their own.
    By its features (`probe` finds them) it marks what is hidden with attributes that a user
    namespace may set, or with those that only the host's root may.
    """

    name = "overlay2"
    own = ("l", "backingFsBlockDev")
    marks: Marks = KERNEL
    limits_by_file = True
    keeps_changes = True

    def __init__(
        self,
        home: str,
        options: Mapping[str, str] | None = None,
        features: Features = (),
    ) -> None:
        self.home = home
        self._opaque = os.fsencode(dict(features).get(OPAQUE, KERNEL.opaque[0]))
        self._by_user = self._opaque in USER.opaque
        if self._by_user:
            self.marks = USER
        size = (options or {}).get("overlay2.size")
        self._size = parse_size(size) if size is not None else None
        self._layout = Layout(home)
        self._layout.prepare()

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """Make the layer's directory; its parent becomes immutable for good."""
        try:
            self._layout.make(layer)
            if parent is not None:
                self._layout.mark_committed(parent)
                self._layout.stand_on(layer, self._lowers_over(layer, parent))
        except OSError as error:
            raise from_oserror(error, f"making a layer of {self.name} in", self.home) from error

    def _lowers_over(self, layer: LayerID, parent: LayerID) -> list[str]:
        """What a layer over `parent` stands on: one flat tree where the kernel unites no more."""
        lowers = [f"l/{self._layout.short(parent)}", *self._layout.lowers(parent)]
        if len(lowers) <= LOWERS:
            return lowers
        from lamina.drivers import flat  # hardly ever

        def opened() -> int:
            return open_detached(self.mounts(parent, writable=False))

        flat.lay(self._layout.path(layer), self._layout.path(parent), opened)
        return [self._layout.link_flat(parent)]

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`: what makes it writable is how it is mounted.

        A project quota limits it; where there are none, a file system of that size in a file.
        """
        size = size if size is not None else self._size
        if not size:
            self.create(layer, parent)
            return
        from lamina.drivers.overlay2 import limit

        by_file = self.limits_by_file and not self._by_user  # a namespace has no loop devices
        limit.create(self._layout, layer, size, by_file, self.create, parent)

    def copy_own(self, layer: LayerID, source: LayerID) -> bool:
        """Copy the upper directory, sharing blocks where the file system can; not out of a file."""
        if self._layout.is_limited(layer) or self._layout.is_limited(source):
            return False
        upper.copy(self._layout.diff(source), self._layout.diff(layer), self.marks, self.home)
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
        """Write the members into `diff/`, looking below where a member needs it."""
        return self.apply_ahead(layer, segments, on_placed, salvage_fd, is_complete)

    def apply_ahead(
        self,
        layer: LayerID,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None,
        complete: Callable[[], None],
    ) -> Figures:
        """The same, of layers whose lower ones are not complete yet."""
        from lamina.archive.apply import OVERLAY, apply
        from lamina.fs.later import LaterTree

        def below() -> TreeView:
            complete()
            return self._stack(self._layout.lower_paths(layer))

        root = os.open(self._layout.diff(layer), _DIRECTORY)
        lower = LaterTree(below)
        try:
            return apply(
                root,
                segments,
                lower=lower,
                form=OVERLAY,
                opaque_xattr=self._opaque,
                on_placed=on_placed,
                salvage_fd=salvage_fd,
            )
        finally:
            lower.close()
            os.close(root)

    def _stack(self, paths: Iterable[str], *above: int) -> StackedTree:
        """Directories united; those given by descriptors lie above, and are taken over."""
        descriptors = list(above)
        try:
            descriptors.extend(os.open(path, _DIRECTORY) for path in paths)
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            raise from_oserror(error, "opening a layer of", self.home) from error
        return StackedTree(descriptors, marks=self.marks)

    def commit(self, layer: LayerID) -> None:
        """Note it down, as docker does."""
        self._layout.mark_committed(layer)

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """An overlay of all below, with `diff/` as its upper when it is writable."""
        lowers = self._layout.lower_paths(layer)
        diff = self._layout.diff(layer)
        limited = self._layout.limited(layer)
        if limited is not None:  # its own directory is empty: somewhere to look into, or to mount
            return MountPlan(Limited(lowers or (diff,), limited, diff))
        if not lowers:
            return MountPlan(Bind(diff, not writable))
        options = BY_USER if self._by_user else ()
        if writable:
            return MountPlan(Overlay(lowers, diff, self._layout.work(layer), options))
        top = self._layout.path("l", self._layout.short(layer))
        return MountPlan(Overlay((top, *lowers), None, None, options))

    def writable_root(self, layer: LayerID) -> str:
        """The upper directory, or the file that holds it."""
        return self._layout.limited(layer) or self._layout.diff(layer)

    def _open_own(self, layer: LayerID) -> int:
        """What `layer` itself holds, by a descriptor."""
        path = self.writable_root(layer)
        try:
            if path == self._layout.limited(layer):
                from lamina.fs.limited import open_upper  # few need it

                return open_upper(path)
            return os.open(path, _DIRECTORY)
        except OSError as error:
            raise from_oserror(error, "opening", path) from error

    def view(self, layer: LayerID) -> TreeView:
        """The united tree, read through the layers' directories."""
        return self._stack(self._layout.lower_paths(layer), self._open_own(layer))

    def own_tree(self, layer: LayerID) -> TreeView:
        """`diff/` alone."""
        return FlatTree(self._open_own(layer))

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """Read off the upper directory; work grows with the changes, not with the image."""
        from lamina.archive.diff import upper_changes

        upper = self._open_own(layer)
        try:
            lower = self._stack(self._layout.lower_paths(layer))
            try:
                yield from upper_changes(upper, lower, self.marks)
            finally:
                lower.close()
        finally:
            os.close(upper)

    def usage(self, layer: LayerID) -> Usage:
        """What lies in `diff/`."""
        root = self._open_own(layer)
        try:
            return usage_of(root)
        finally:
            os.close(root)

    def remove(self, layer: LayerID, trash: str) -> None:
        """Take away the limit, the short link, then the directory."""
        if self._layout.is_limited(layer):
            from lamina.drivers.overlay2 import limit

            limit.end(self._layout, layer)
        self._layout.unlink_short(layer)
        remove_into(self._layout.path(layer), trash)

    def layers(self) -> Iterator[LayerID]:
        """Every layer directory in the home."""
        yield from (LayerID(name) for name in sorted(os.listdir(self.home)) if len(name) == 64)

    def location(self, layer: LayerID) -> str:
        """The layer's directory."""
        return self._layout.path(layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """The rows that docker's users know."""
        return (
            ("Backing Filesystem", filesystem_name(self.home)),
            ("Supports d_type", "true"),
            ("Using metacopy", "false"),
            ("Native Overlay Diff", "true"),
            ("userxattr", "true" if self._by_user else "false"),
        )

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """The four directories, as `docker inspect` names them."""
        limited = self._layout.limited(layer)
        if limited is not None:
            return (("UpperFile", limited),)
        rows = [
            ("MergedDir", self._layout.path(layer, "merged")),
            ("UpperDir", self._layout.diff(layer)),
            ("WorkDir", self._layout.work(layer)),
        ]
        lowers = [os.path.realpath(path) for path in self._layout.lower_paths(layer)]
        if lowers:
            rows.insert(0, ("LowerDir", ":".join(lowers)))
        return tuple(rows)
