"""Can subvolumes be made and snapshotted here? Found out by doing it once."""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.kernel import btrfs
from lamina.kernel.statfs import filesystem_name

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def probe(home: str, _options: Mapping[str, str] | None = None) -> Probe:
    """Try a subvolume and a snapshot of it in `home`, or beside it where it is yet to be made."""
    base = home if os.path.isdir(home) else os.path.dirname(home)
    backing = filesystem_name(base)
    if backing != "btrfs":
        return Probe(False, f"{base} lies on {backing}, not on btrfs")
    try:
        with scratch(home) as folder:
            _try(folder)
    except OSError as error:
        return Probe(False, f"btrfs refused a subvolume in {base}: {error.strerror}")
    except LaminaError as error:
        return Probe(False, f"btrfs refused to remove a subvolume: {error}")
    return Probe(True, f"made a subvolume and a snapshot of it in {base}")


def _try(folder: str) -> None:
    opened = os.open(folder, _DIRECTORY)
    try:
        btrfs.create_subvolume(opened, "made")
        made = os.open("made", _DIRECTORY, dir_fd=opened)
        try:
            btrfs.snapshot(made, opened, "copy")
        finally:
            os.close(made)
        btrfs.destroy_subvolume(opened, "copy")
        btrfs.destroy_subvolume(opened, "made")
    finally:
        os.close(opened)
