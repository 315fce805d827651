"""Does overlayfs work on this file system? Found out by trying, never by a version.

Two things are tried apart, because the second is not seen by the first: a mount of several
lower directories with an upper one, and whether directory entries carry their type. On a file
system without d_type the mount succeeds and the whiteouts are then listed as files.

What a layer is written in is tried, too: a whiteout and an opaque directory of our own making
must hide what is below. In a user namespace the attributes are `user.overlay.*` (userxattr).
"""

import errno
import os
import stat
from collections.abc import Mapping

from lamina.drivers.api import OPAQUE, Features, Probe
from lamina.drivers.features import NATIVE_DIFF, REFLINK, WHITEOUTS, reflink
from lamina.drivers.overlay2.driver import BY_USER
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs.dtype import supports_dtype
from lamina.fs.marks import KERNEL, USER
from lamina.fs.mounting import MountPlan, Overlay, attach, in_private_namespace
from lamina.kernel import xattr
from lamina.kernel.statfs import filesystem_name

_DTYPE_HINT = "make it anew with `mkfs.xfs -n ftype=1` or `mkfs.ext4 -O filetype`"

FOLDERS = ("lower1", "lower2", "upper", "work", "merged")


def try_out(home: str, _options: Mapping[str, str] | None = None) -> Probe:
    """Try overlayfs in `home`, or beside it where it is yet to be made."""
    try:
        with scratch(home, *FOLDERS) as folder:
            return _try(folder)
    except OSError as error:
        return Probe(False, f"{home} cannot be written: {error.strerror}")


def _try(folder: str) -> Probe:
    backing = filesystem_name(folder)
    opaque, options = _attribute(folder)
    try:
        native = in_private_namespace(lambda: _mount_and_use(folder, opaque, options))
    except (OSError, LaminaError) as error:
        return Probe(False, f"overlayfs on {backing} refused: {error}")
    if not supports_dtype(folder):
        lacks = f"{backing} here keeps no d_type in its directory entries"
        return Probe(False, f"{lacks}; {_DTYPE_HINT}")
    how = ", by attributes of a user namespace" if options else ""
    said = f"mounted two lower directories and an upper one on {backing}{how}; d_type kept"
    features: Features = (
        (WHITEOUTS, "devices 0:0"),
        (OPAQUE, os.fsdecode(opaque)),
        (NATIVE_DIFF, native),
        (REFLINK, reflink(folder)),
    )
    return Probe(True, said, features)


def _attribute(folder: str) -> tuple[bytes, tuple[str, ...]]:
    """What marks an opaque directory, and the options by which overlayfs reads that."""
    try:
        xattr.set_value(os.fsencode(folder), KERNEL.opaque[0], b"n")
    except OSError:
        return USER.opaque[0], BY_USER
    return KERNEL.opaque[0], ()


def _mount_and_use(folder: str, opaque: bytes, options: tuple[str, ...]) -> str:
    """Raises unless all is hidden that should be; gives whether an upper directory tells all."""

    def at(*names: str) -> str:
        return os.path.join(folder, *names)

    for name in ("d", "gone", "opaque/below", "moved"):
        os.makedirs(at("lower1", name))
    os.mknod(at("lower2", "gone"), stat.S_IFCHR, 0)
    os.mkdir(at("lower2", "opaque"))
    xattr.set_value(os.fsencode(at("lower2", "opaque")), opaque, b"y")
    plan = MountPlan(Overlay((at("lower2"), at("lower1")), at("upper"), at("work"), options))
    attach(plan, at("merged"))
    os.rmdir(at("merged", "d"))
    for name in ("d", "gone", "opaque/below"):
        if os.path.lexists(at("merged", name)):
            raise OSError(0, f"what is marked as gone is still there ({name})")
    return _native(at("merged", "moved"))


def _native(directory: str) -> str:
    """Renaming a lower directory must be refused: else an upper one would not hold its content."""
    try:
        os.rename(directory, f"{directory}.again")
    except OSError as error:
        return "true" if error.errno == errno.EXDEV else "false"
    return "false"
