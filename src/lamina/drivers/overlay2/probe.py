"""Does overlayfs work on this file system? Found out by trying, never by a version.

Two things are tried apart, because the second is not seen by the first: a mount of several
lower directories with an upper one, and whether directory entries carry their type. On a file
system without d_type the mount succeeds and the whiteouts are then listed as files.
"""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.errors import LaminaError
from lamina.fs.dtype import supports_dtype
from lamina.fs.mounting import MountPlan, Overlay, attach, in_private_namespace
from lamina.fs.remove import remove_tree
from lamina.kernel.statfs import filesystem_name

_DTYPE_HINT = "make it anew with `mkfs.xfs -n ftype=1` or `mkfs.ext4 -O filetype`"


def probe(home: str, _options: Mapping[str, str] | None = None) -> Probe:
    """Try overlayfs in `home`, or beside it where it is yet to be made."""
    try:
        scratch = made_scratch(home)
    except OSError as error:
        return Probe(False, f"{home} cannot be written: {error.strerror}")
    try:
        return _try(scratch)
    finally:
        remove_tree(scratch)


def made_scratch(home: str) -> str:
    """A folder with directories to unite, in `home` or beside it; raises OSError."""
    base = home if os.path.isdir(home) else os.path.dirname(home)
    path = os.path.join(base, f".probe-{os.getpid()}-{os.urandom(4).hex()}")
    os.mkdir(path, 0o700)
    for name in ("lower1", "lower2", "upper", "work", "merged"):
        os.mkdir(os.path.join(path, name))
    return path


def _try(scratch: str) -> Probe:
    backing = filesystem_name(scratch)
    try:
        in_private_namespace(lambda: _mount_and_use(scratch))
    except (OSError, LaminaError) as error:
        return Probe(False, f"overlayfs on {backing} refused: {error}")
    if not supports_dtype(scratch):
        lacks = f"{backing} here keeps no d_type in its directory entries"
        return Probe(False, f"{lacks}; {_DTYPE_HINT}")
    return Probe(True, f"mounted two lower directories and an upper one on {backing}; d_type kept")


def _mount_and_use(scratch: str) -> None:
    def at(name: str) -> str:
        return os.path.join(scratch, name)

    os.mkdir(os.path.join(at("lower1"), "d"))
    plan = MountPlan(Overlay((at("lower2"), at("lower1")), at("upper"), at("work"), ()))
    attach(plan, at("merged"))
    os.rmdir(os.path.join(at("merged"), "d"))
    if os.path.lexists(os.path.join(at("merged"), "d")):
        raise OSError(0, "a removed directory is still listed")
