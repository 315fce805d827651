"""The union as a primitive: overlayfs over any directories, no image needed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lamina.errors import UsageError, from_oserror
from lamina.fs.mounting import Bind, MountPlan, Overlay, open_detached


@contextmanager
def overlay(
    lower: Sequence[str], upper: str | None = None, work: str | None = None
) -> Iterator[str]:
    """Unite directories, topmost first, and give a path of the union for the block's time.

    With `upper`, what is written goes there; `work` must be an empty directory on the same
    file system (default: `<upper>.work`, made and kept). The path leads through a descriptor
    of this process: nothing appears in any mount table, nothing is left behind. Raises
    `UsageError` or a `StorageError` in the kernel's words.
    """
    if not lower:
        raise UsageError("a union needs at least one lower directory")
    try:
        descriptor = open_detached(_plan([os.path.abspath(path) for path in lower], upper, work))
    except OSError as error:
        raise from_oserror(error, "uniting", ":".join(lower)) from error
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _plan(lowers: list[str], upper: str | None, work: str | None) -> MountPlan:
    if upper is None:
        if len(lowers) == 1:
            return MountPlan(Bind(lowers[0], True))
        return MountPlan(Overlay(tuple(lowers), None, None, ()))
    upper = os.path.abspath(upper)
    work = os.path.abspath(work) if work is not None else f"{upper}.work"
    os.makedirs(work, mode=0o700, exist_ok=True)
    return MountPlan(Overlay(tuple(lowers), upper, work, ()))
