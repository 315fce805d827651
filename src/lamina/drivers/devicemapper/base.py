"""The empty file system that every first layer is a snapshot of, made once.

A store whose maker was killed makes it anew. Knows pools and mkfs, no layers.
"""

import os

from lamina.drivers.devicemapper.pool import ThinPool
from lamina.drivers.devicemapper.records import BASE, Record
from lamina.drivers.devicemapper.settings import FILE_SYSTEMS
from lamina.errors import DriverError, ProgramMissing
from lamina.fs import thin
from lamina.fs.faults import crash_point
from lamina.fs.spawn import PATH, run
from lamina.fs.thin import Pool, Thin
from lamina.kernel import growth
from lamina.kernel.ioctl import syncfs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GROW = {"ext4": growth.grow_ext4, "xfs": growth.grow_xfs}


def program(kind: str) -> str:
    """The path of the program that makes such a file system; raises `ProgramMissing`."""
    name = FILE_SYSTEMS[kind].make[0]
    for folder in PATH.split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    package = FILE_SYSTEMS[kind].package
    raise ProgramMissing(f"there is no program {name}", hint=f"install the package {package}")


def base(devices: ThinPool, pool: Pool) -> Record:
    """The device with the empty file system; the pool is locked. Raises OSError."""
    found = devices.records.get(BASE)
    if found is not None and found.initialized:
        return found
    if found is not None:
        devices.drop(pool, BASE, found)
    made = devices.make(pool, BASE, "", None, devices.settings.base)
    step = devices.step(BASE, made, readonly=False)
    _make_file_system(step)
    crash_point("base-formatted")
    root = opened(step)
    try:
        _empty(root)
        syncfs(root)
    finally:
        os.close(root)  # the only mount: the file system is whole and closed after it
    return devices.seal(pool, BASE, made)


def _make_file_system(step: Thin) -> None:
    device = thin.open_device(step)
    try:
        words = [program(step.kind), *FILE_SYSTEMS[step.kind].make[1:]]
        said = run([*words, os.readlink(f"/proc/self/fd/{device}")])
        if said.status:
            last = said.errors.splitlines()[-1:] or [f"it ended with status {said.status}"]
            raise DriverError(
                f"{FILE_SYSTEMS[step.kind].make[0]} on a thin device: {last[0]}",
                hint="choose another --storage-opt dm.basesize or dm.fs",
            )
    finally:
        os.close(device)


def _empty(root: int) -> None:
    for name in os.listdir(root):  # lost+found
        os.rmdir(name, dir_fd=root)
    os.fchmod(root, 0o755)


def grow(step: Thin, size: int) -> None:
    """Let the file system on a device take up all of it; the pool is locked. Raises OSError."""
    root = opened(step)
    try:
        _GROW[step.kind](root, size)
    finally:
        os.close(root)


def opened(step: Thin) -> int:
    """The root of a device's file system, while the pool is locked; raises OSError."""
    mounted = thin.mount(step)
    try:
        return os.open(f"/proc/self/fd/{mounted}", _DIRECTORY)
    finally:
        os.close(mounted)
