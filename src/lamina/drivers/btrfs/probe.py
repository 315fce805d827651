"""Can subvolumes be made and snapshotted here? Found out by doing it once."""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.errors import LaminaError
from lamina.fs.remove import remove_tree
from lamina.kernel import btrfs
from lamina.kernel.statfs import filesystem_name

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def probe(home: str, _options: Mapping[str, str] | None = None) -> Probe:
    """Try a subvolume and a snapshot of it in `home`, or beside it where it is yet to be made."""
    base = home if os.path.isdir(home) else os.path.dirname(home)
    backing = filesystem_name(base)
    if backing != "btrfs":
        return Probe(False, f"{base} lies on {backing}, not on btrfs")
    scratch = os.path.join(base, f".probe-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        os.mkdir(scratch, 0o700)
        try:
            _try(scratch)
        finally:
            remove_tree(scratch)
    except OSError as error:
        return Probe(False, f"btrfs refused a subvolume in {base}: {error.strerror}")
    except LaminaError as error:
        return Probe(False, f"btrfs refused to remove a subvolume: {error}")
    return Probe(True, f"made a subvolume and a snapshot of it in {base}")


def _try(scratch: str) -> None:
    folder = os.open(scratch, _DIRECTORY)
    try:
        btrfs.create_subvolume(folder, "made")
        made = os.open("made", _DIRECTORY, dir_fd=folder)
        try:
            btrfs.snapshot(made, folder, "copy")
        finally:
            os.close(made)
        btrfs.destroy_subvolume(folder, "copy")
        btrfs.destroy_subvolume(folder, "made")
    finally:
        os.close(folder)
