"""The contract of a driver, kept with fuse-overlayfs.

Layers lie as overlay2's do, and committed ones are the same on both; a container's upper
directory has the program's own marks beside the kernel's (lamina.fs.marks). It writes through
(`writeback=0`): what a container wrote is in the upper directory at once, so a diff needs no
mount and asks nothing of the program.
"""

import os
import stat

from lamina.drivers.api import Features
from lamina.drivers.fuse_overlayfs.program import find
from lamina.drivers.overlay2.driver import OverlayDriver
from lamina.errors import StorageError, from_oserror
from lamina.fs.marks import FUSE, USER
from lamina.fs.mounting import Bind, Fuse, MountPlan, Overlay
from lamina.fs.walk import walk
from lamina.kernel import xattr
from lamina.values.ids import LayerID

_ORIGIN = b"user.fuseoverlayfs.origin"
_SPECIAL = frozenset("\\:,")  # what the program's own splitting trips over


def united(program: str, lowers: tuple[str, ...], upper: str | None, work: str | None) -> Fuse:
    """The union of directories, `lowers` topmost first; raises `StorageError` for a bad path."""
    options = ["writeback=0", f"lowerdir={':'.join(map(_plain, lowers))}"]
    if upper is not None and work is not None:
        options += [f"upperdir={_plain(upper)}", f"workdir={_plain(work)}"]
    return Fuse(program, tuple(options), upper is None)


def _plain(path: str) -> str:
    """A path as it is: the program splits the real paths once more, whatever they were called."""
    if not _SPECIAL.isdisjoint(path):
        raise StorageError(
            f"fuse-overlayfs takes no path with a colon, a comma or a backslash: {path}",
            hint="choose another --root",
        )
    return path


class FuseOverlayDriver(OverlayDriver):
    """Layers beneath `home`, united by fuse-overlayfs."""

    name = "fuse-overlayfs"
    limits_by_file = False  # the program finds directories by their names alone

    def __init__(self, home: str, features: Features = ()) -> None:
        super().__init__(home, features=features)
        self.marks = FUSE

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """As overlay2's, by the program; a single directory needs none.

        Raises `ProgramMissing` where the program is gone.
        """
        self._disarm(layer)
        root = super().mounts(layer, writable=writable).root
        if not isinstance(root, Overlay):
            assert isinstance(root, Bind)
            return MountPlan(root)
        return MountPlan(united(find(), root.lowers, root.upper, root.work))

    def _disarm(self, layer: LayerID) -> None:
        """Take away the marks that only a container can have set: the program believes them.

        And where a file was copied up from: of a lower file with several names it would show the
        others' content for what was written through one.
        """
        if self._layout.is_committed(layer):
            return
        root = os.open(self._layout.diff(layer), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for found in walk(root):
                place = xattr.place(found.directory, found.name)
                if found.is_directory:
                    for name in USER.opaque:
                        xattr.remove(place, name)
                elif stat.S_ISREG(found.status.st_mode):
                    xattr.remove(place, _ORIGIN)
        except OSError as error:
            raise from_oserror(error, "preparing", self._layout.diff(layer)) from error
        finally:
            os.close(root)

    def status(self) -> tuple[tuple[str, str], ...]:
        """Docker has no rows for it."""
        return ()
