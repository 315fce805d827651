"""Does overlayfs work on this file system? Found out by trying, never by a version.

Two things are tried apart, because the second is not seen by the first: a mount of several
lower directories with an upper one, and whether directory entries carry their type. On a file
system without d_type the mount succeeds and the whiteouts are then listed as files.
"""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs.dtype import supports_dtype
from lamina.fs.mounting import MountPlan, Overlay, attach, in_private_namespace
from lamina.kernel.statfs import filesystem_name

_DTYPE_HINT = "make it anew with `mkfs.xfs -n ftype=1` or `mkfs.ext4 -O filetype`"

FOLDERS = ("lower1", "lower2", "upper", "work", "merged")


def probe(home: str, _options: Mapping[str, str] | None = None) -> Probe:
    """Try overlayfs in `home`, or beside it where it is yet to be made."""
    try:
        with scratch(home, *FOLDERS) as folder:
            return _try(folder)
    except OSError as error:
        return Probe(False, f"{home} cannot be written: {error.strerror}")


def _try(folder: str) -> Probe:
    backing = filesystem_name(folder)
    try:
        in_private_namespace(lambda: _mount_and_use(folder))
    except (OSError, LaminaError) as error:
        return Probe(False, f"overlayfs on {backing} refused: {error}")
    if not supports_dtype(folder):
        lacks = f"{backing} here keeps no d_type in its directory entries"
        return Probe(False, f"{lacks}; {_DTYPE_HINT}")
    return Probe(True, f"mounted two lower directories and an upper one on {backing}; d_type kept")


def _mount_and_use(folder: str) -> None:
    def at(name: str) -> str:
        return os.path.join(folder, name)

    os.mkdir(os.path.join(at("lower1"), "d"))
    plan = MountPlan(Overlay((at("lower2"), at("lower1")), at("upper"), at("work"), ()))
    attach(plan, at("merged"))
    os.rmdir(os.path.join(at("merged"), "d"))
    if os.path.lexists(os.path.join(at("merged"), "d")):
        raise OSError(0, "a removed directory is still listed")
