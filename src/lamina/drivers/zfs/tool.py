"""Running zfs(8) and zpool(8), and finding the dataset that a path lies on.

What the program refuses becomes an error in its own words. A command may outlive whoever started
it and was killed: it holds a lock for as long as it runs, so that who cleans up can wait for it.
"""

import fcntl
import os
import time

from lamina.errors import DiskFull, DriverError, DriverNotSupported, ProgramMissing
from lamina.fs.spawn import PATH, Said, run
from lamina.kernel.mountinfo import mounts

GONE = "does not exist"
THERE = "already exists"
_BUSY = "is busy"
_FULL = ("out of space", "quota exceeded")
_PATIENCE = 10.0  # seconds; a dataset that was just written is busy for a moment
_POLL = 0.05
_KINDS = ("zfs", "fuse.zfs")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Refused(DriverError):
    """The program said no; `words` are its own."""

    def __init__(self, brief: str, words: str) -> None:
        super().__init__(brief, hint="see `zfs list` and `zpool status`")
        self.words = words


def find(name: str) -> str:
    """The absolute path of a program of ZFS; raises `ProgramMissing` naming the package."""
    for folder in PATH.split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise ProgramMissing(
        f"there is no program {name}",
        hint="install the package zfsutils-linux, or choose another driver",
    )


def ask(name: str, *words: str, lock: str | None = None) -> str:
    """What a program of ZFS answers; `lock` is a directory that it holds locked meanwhile.

    Waits a moment for a dataset that is busy. Raises `Refused`, `DiskFull`, `ProgramMissing`,
    or OSError.
    """
    command = [find(name), *words]
    limit = time.monotonic() + _PATIENCE
    while True:
        said = run(command) if lock is None else _run_locked(command, lock)
        if said.status == 0:
            return said.output
        if _BUSY not in said.errors or time.monotonic() > limit:
            raise _refusal(name, words, said.errors or f"it ended with status {said.status}")
        time.sleep(_POLL)


def _run_locked(command: list[str], folder: str) -> Said:
    descriptor = os.open(folder, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return run(command, held=(descriptor,))
    finally:
        os.close(descriptor)


def await_others(folder: str) -> None:
    """Wait until no command holds a directory locked any more, whoever started it."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _refusal(name: str, words: tuple[str, ...], errors: str) -> DriverError | DiskFull:
    first = errors.splitlines()[0]
    brief = f"{name} {words[0]} {words[-1]}: {first}"
    if any(each in errors for each in _FULL):
        return DiskFull(brief, hint="free some space (`lamina prune`, `lamina rmi`) and try again")
    return Refused(brief, errors)


def dataset_of(path: str) -> str:
    """The dataset that the mount table names for `path`; raises `DriverNotSupported`."""
    real = os.fsencode(os.path.realpath(path))
    found = None
    for mount in mounts():  # of two mounts on one place the later one is seen
        below = mount.target.rstrip(b"/") + b"/"
        if (real + b"/").startswith(below) and (
            found is None or len(mount.target) >= len(found.target)
        ):
            found = mount
    if found is None or found.kind not in _KINDS:
        kind = found.kind if found is not None else "nothing"
        raise DriverNotSupported(
            f"{path} lies on {kind}, not on zfs",
            hint="choose a --root on a dataset, or name one with --storage-opt zfs.fsname=",
        )
    return os.fsdecode(found.source)
