"""Holding a container that runs to other limits, by its own control groups.

Which files say what is the kernel's (cgroup-v1, cgroup-v2.rst); where they lie is told at the head
of lamina.fs.cgroups. A container that was started without limits of memory, processors or disks
has no group of its own, and gets none in passing.
"""

import os
from contextlib import suppress
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.execution.limiting import shares_of
from lamina.fs.cgroups import BOX, folder_of, is_unified, write
from lamina.runtime.limits import PERIOD, Limits

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIVE = {
    "memory": "memory",
    "memory_swap": "memory",
    "memory_reservation": "memory",
    "nano_cpus": "cpu",
    "cpu_shares": "cpu",
    "cpu_period": "cpu",
    "cpu_quota": "cpu",
    "pids": "pids",
    "blkio_weight": "blkio",
}


class _Line(NamedTuple):
    """What is written: into the file `name`, if it is there, of the group or of `below` it."""

    controller: str
    below: str
    name: str
    text: str


def relimit(container: str, old: Limits, new: Limits) -> None:
    """Let the new limits hold from now on; raises `RuntimeFailure`, and the old ones hold then."""
    changed = {field for field in new._fields if getattr(new, field) != getattr(old, field)}
    for field in sorted(changed):
        if field not in _LIVE:
            raise RuntimeFailure(
                f"{field.replace('_', '-')} cannot be changed while the container runs",
                hint="stop it first",
            )
    controllers = {_LIVE[field] for field in changed}
    for controller in sorted(controllers):
        if not os.path.isdir(os.path.join(folder_of(container, controller), BOX)):
            raise RuntimeFailure(
                "a container that was started without limits has no control group of its own"
                f" ({controller})",
                hint="stop it, update it, and start it again",
            )
    try:
        _write_all(container, [each for each in _lines(new) if each.controller in controllers])
    except OSError as error:
        with suppress(OSError):
            _write_all(container, [each for each in _lines(old) if each.controller in controllers])
        raise RuntimeFailure(
            f"the limits cannot be changed: {error.filename}: {error.strerror}",
            hint="it may use more already than it would be allowed",
        ) from error


def _lines(limits: Limits) -> list[_Line]:
    return [*(_of_version_2(limits) if is_unified() else _of_version_1(limits)), *_shares(limits)]


def _of_version_1(limits: Limits) -> list[_Line]:
    memory, swap = limits.memory or -1, limits.swap or -1
    quota, period = limits.quota
    return [
        _Line("memory", BOX, "memory.limit_in_bytes", str(memory)),
        _Line("memory", BOX, "memory.memsw.limit_in_bytes", str(swap)),
        _Line("memory", "", "memory.limit_in_bytes", str(_a_page_less(memory))),
        _Line("memory", "", "memory.memsw.limit_in_bytes", str(_a_page_less(swap))),
        _Line("memory", BOX, "memory.soft_limit_in_bytes", str(limits.memory_reservation or -1)),
        _Line("cpu", BOX, "cpu.cfs_period_us", str(period or PERIOD)),
        _Line("cpu", BOX, "cpu.cfs_quota_us", str(quota or -1)),
        _Line("pids", BOX, "pids.max", str(limits.pids or "max")),
    ]


def _a_page_less(limit: int) -> int:
    return limit - _PAGE if limit > 0 else limit


def _of_version_2(limits: Limits) -> list[_Line]:
    quota, period = limits.quota
    swap = limits.swap - limits.memory if limits.memory and limits.swap > 0 else "max"
    return [
        _Line("memory", BOX, "memory.max", str(limits.memory or "max")),
        _Line("memory", BOX, "memory.swap.max", str(swap)),
        _Line("memory", "", "memory.low", str(limits.memory_reservation)),
        _Line("cpu", BOX, "cpu.max", f"{quota or 'max'} {period or PERIOD}"),
        _Line("pids", BOX, "pids.max", str(limits.pids or "max")),
    ]


def _shares(limits: Limits) -> list[_Line]:
    """What counts beside other containers stands in the group around."""
    plain = limits._replace(
        cpu_shares=limits.cpu_shares or 1024, blkio_weight=limits.blkio_weight or 500
    )
    return [_Line(controller, "", name, text) for controller, name, text in shares_of(plain)]


def _write_all(container: str, lines: list[_Line]) -> None:
    """In whatever order the kernel takes them: of two limits the larger has to go up first."""
    left = [
        (os.path.join(folder_of(container, each.controller), each.below, each.name), each.text)
        for each in lines
    ]
    left = [(path, text) for path, text in left if os.path.exists(path)]
    while left:
        refused = [(each, error) for each in left if (error := _refusal(*each)) is not None]
        if len(refused) == len(left):
            raise refused[0][1]
        left = [each for each, _ in refused]


def _refusal(path: str, text: str) -> OSError | None:
    try:
        write(path, text)
    except OSError as error:
        error.filename = path
        return error
    return None
