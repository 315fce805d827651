"""Can thin devices be made here? A pool that is named is asked; else a small one is made."""

import os
from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.drivers.devicemapper.base import program
from lamina.drivers.devicemapper.settings import Settings, settings
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs import thin
from lamina.fs.thin import Pool
from lamina.kernel import devmapper

_METADATA, _DATA = 2 << 20, 1 << 20  # bytes: the least that the kernel takes


def probe(home: str, options: Mapping[str, str] | None = None) -> Probe:
    """Ask the pool that dm.thinpooldev names, or try one in files in `home`, or beside it."""
    try:
        wanted = settings(options or {})
        program(wanted.kind)
        return _asked(wanted) if wanted.pool else _tried(home)
    except LaminaError as error:
        return Probe(False, f"{error.brief}; {error.hint}" if error.hint else error.brief)
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        return Probe(False, f"device-mapper: {about}{error.strerror}")


def _asked(wanted: Settings) -> Probe:
    said = devmapper.status(wanted.pool)
    return Probe(True, f"the pool {wanted.pool} answers: {said}")


def _tried(home: str) -> Probe:
    with scratch(home) as folder:
        files = (os.path.join(folder, "data"), os.path.join(folder, "metadata"))
        for path, size in zip(files, (_DATA, _METADATA), strict=True):
            with open(path, "wb") as file:
                file.truncate(size)
        pool = Pool(f"lamina-probe-{os.path.basename(folder)[-8:]}", *files, f"{folder}/lock")
        keeper = thin.open_pool(pool)
        try:
            devmapper.send(pool.name, "create_thin 0")
        finally:
            os.close(keeper)
    return Probe(
        True, f"made a thin pool in files, and a device in it, in {os.path.dirname(folder)}"
    )
