"""Can datasets be made here? The tool is asked for the one named, then made to make one."""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.drivers.zfs.tool import ask, dataset_of
from lamina.errors import LaminaError


def probe(home: str, options: Mapping[str, str] | None = None) -> Probe:
    """Ask zfs(8) for the dataset of `home`, or of the option zfs.fsname, and try it out.

    The mount table may name what another program's daemon serves: only the tool's answer counts.
    """
    base = home if os.path.isdir(home) else os.path.dirname(home)
    try:
        parent = (options or {}).get("zfs.fsname") or dataset_of(base)
        ask("zfs", "list", "-H", "-o", "name", parent)
        trial = f"{parent}/lamina-probe-{os.urandom(4).hex()}"
        ask("zfs", "create", "-o", "mountpoint=none", trial)
        ask("zfs", "destroy", trial)
    except LaminaError as error:
        return Probe(False, f"{error.brief}; {error.hint}" if error.hint else error.brief)
    except OSError as error:
        return Probe(False, f"zfs cannot be run: {error.strerror}")
    return Probe(True, f"made a dataset in {parent}")
