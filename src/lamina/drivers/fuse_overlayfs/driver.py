"""The contract of a driver, kept with fuse-overlayfs.

Layers lie as overlay2's do, and committed ones are the same on both; a container's upper
directory has the program's own marks beside the kernel's (lamina.fs.marks). It writes through
(`writeback=0`): what a container wrote is in the upper directory at once, so a diff needs no
mount and asks nothing of the program.
"""

import os

from lamina.drivers.fuse_overlayfs.program import find
from lamina.drivers.overlay2.driver import OverlayDriver
from lamina.errors import from_oserror
from lamina.fs.marks import FUSE, USER
from lamina.fs.mounting import Bind, Fuse, MountPlan, Overlay
from lamina.fs.walk import walk
from lamina.kernel import xattr
from lamina.values.ids import LayerID

_OPTIONS = ("writeback=0",)


class FuseOverlayDriver(OverlayDriver):
    """Layers beneath `home`, united by fuse-overlayfs."""

    name = "fuse-overlayfs"
    marks = FUSE

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """As overlay2's, by the program; a single directory needs none.

        Raises `ProgramMissing` where the program is gone.
        """
        self._disarm(layer)
        root = super().mounts(layer, writable=writable).root
        if not isinstance(root, Overlay):
            assert isinstance(root, Bind)
            return MountPlan(root)
        return MountPlan(Fuse(find(), root.lowers, root.upper, root.work, _OPTIONS))

    def _disarm(self, layer: LayerID) -> None:
        """Take away the marks that only a container can have set: the program believes them."""
        if self._layout.is_committed(layer):
            return
        root = os.open(self._layout.diff(layer), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for found in walk(root):
                if found.is_directory:
                    for name in USER.opaque:
                        xattr.remove(xattr.place(found.directory, found.name), name)
        except OSError as error:
            raise from_oserror(error, "preparing", self._layout.diff(layer)) from error
        finally:
            os.close(root)

    def status(self) -> tuple[tuple[str, str], ...]:
        """Docker has no rows for it."""
        return ()
