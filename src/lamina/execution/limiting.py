"""Whether this machine, and this process, can hold a container to its limits; asked at its start.

A limit that cannot be held is refused in a sentence: one that is silently ignored would be found
out by the machine's other users.
"""

import os
import resource
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.fs.cgroups import BASE, SWAP, Group, Need
from lamina.fs.processes import oom_score
from lamina.kernel.namespaces import (
    CAP_SYS_RESOURCE,
    bounding_capabilities,
    has_capability,
    user_namespace,
)
from lamina.runtime.bundle import granted
from lamina.runtime.limits import OUT_OF_MEMORY, UNLIMITED, Limits, Ulimit, members
from lamina.runtime.process import Process
from lamina.values.size import human_binary

_LOCKS = 10  # RLIMIT_LOCKS (asm-generic/resource.h), which Python's module lacks


class _Rule(NamedTuple):
    field: str
    need: Need


_RULES = tuple(
    _Rule(field, Need(flag, controller, files))
    for field, flag, controller, files in (
        ("memory", "--memory", "memory", ("memory.limit_in_bytes", "memory.max")),
        ("memory_swap", "--memory-swap", "memory", SWAP),
        (
            "memory_reservation",
            "--memory-reservation",
            "memory",
            ("memory.soft_limit_in_bytes", "memory.low"),
        ),
        ("nano_cpus", "--cpus", "cpu", ("cpu.cfs_quota_us", "cpu.max")),
        ("cpu_quota", "--cpu-quota", "cpu", ("cpu.cfs_quota_us", "cpu.max")),
        ("cpu_period", "--cpu-period", "cpu", ("cpu.cfs_period_us", "cpu.max")),
        ("cpu_shares", "--cpu-shares", "cpu", ("cpu.shares", "cpu.weight")),
        ("cpuset_cpus", "--cpuset-cpus", "cpuset", ("cpuset.cpus",)),
        ("cpuset_mems", "--cpuset-mems", "cpuset", ("cpuset.mems",)),
        ("pids", "--pids-limit", "pids", ("pids.max", "cgroup.procs")),
        (
            "blkio_weight",
            "--blkio-weight",
            "blkio",
            ("blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"),
        ),
    )
)
_SWAPPINESS = Need("--memory-swappiness", "memory", ("memory.swappiness",))
_DEVICES = Need("--device", "devices", ("devices.allow",))
_MOUNTER = Need("--cap-add SYS_ADMIN", "devices", ("devices.allow",))


def group_of(process: Process, container: str) -> Group | None:
    """The control group that holds the process to its limits; None where none is needed.

    Raises `RuntimeFailure` for what this machine cannot hold.
    """
    limits = process.limits
    if not may_need_group(process):
        return None
    needs = [rule.need for rule in _RULES if getattr(limits, rule.field)]
    if limits.memory_swappiness >= 0:
        needs.append(_SWAPPINESS)
    if _narrows_devices(process):
        needs.append(_DEVICES)
    if _can_mount(process):
        needs.append(_MOUNTER)
    swap = limits.swap if limits.memory else 0
    base = process.group_parent or BASE
    return Group(container, tuple(needs), shares_of(limits), limits.memory, swap, base)


def shares_of(limits: Limits) -> tuple[tuple[str, str, str], ...]:
    """What counts beside other containers' groups: as Group takes it.

    Version 2 counts from 1 to 10,000 what version 1 counts from 2 to 262,144 and from 10 to 1000:
    converted as runc does.
    """
    found: list[tuple[str, str, str]] = []
    if shares := limits.shares:
        weight = 1 + (shares - 2) * 9999 // 262_142
        found += [("cpu", "cpu.shares", str(shares)), ("cpu", "cpu.weight", str(weight))]
    if limits.blkio_weight:
        weight = 1 + (limits.blkio_weight - 10) * 9999 // 990
        old, new = str(limits.blkio_weight), str(weight)
        found += [("blkio", name, old) for name in ("blkio.weight", "blkio.bfq.weight")]
        found += [("blkio", "io.bfq.weight", old), ("blkio", "io.weight", new)]
    if limits.memory_reservation:
        found.append(("memory", "memory.low", str(limits.memory_reservation)))
    return tuple(found)


def may_need_group(process: Process) -> bool:
    """Whether a control group is needed to hold what the process is limited to."""
    return _is_limited(process) or _can_mount(process)


def _is_limited(process: Process) -> bool:
    return process.limits.needs_group or bool(process.group_parent) or _narrows_devices(process)


def _can_mount(process: Process) -> bool:
    """Whether it could open every disk of this machine: it makes nodes, and may mount without
    `nodev`. A user namespace's root can do neither.
    """
    if process.privileged or not process.confinement.cap_add:
        return False
    rights = granted(process, bounding_capabilities())
    return {"CAP_SYS_ADMIN", "CAP_MKNOD"}.issubset(rights) and not user_namespace()


def _narrows_devices(process: Process) -> bool:
    """Whether a device is shown that may only be read, or only be written to."""
    shown = () if process.privileged else process.confinement.devices
    return any(not {"r", "w"}.issubset(device.access) for device in shown)


def refuse_impossible(process: Process, isolation: str) -> None:
    """Raise `RuntimeFailure` for limits that this isolation, or this process, cannot set."""
    limits = process.limits
    if isolation == "chroot" and _is_limited(process):
        raise RuntimeFailure(
            "a chroot cannot hold a container to limits of memory, processors or devices",
            hint="install crun, or leave them out",
        )
    _refuse_absent("processors", limits.cpuset_cpus, "/sys/devices/system/cpu/online")
    _refuse_absent("memory nodes", limits.cpuset_mems, "/sys/devices/system/node/online")
    for each in limits.ulimits:
        _refuse_raised(each)
    score = limits.oom_score_adj
    if score and score < oom_score() and not _may_raise():
        raise RuntimeFailure(
            f"the OOM score {score} cannot be set: it is lower than that of this process,"
            " which may not lower any (no CAP_SYS_RESOURCE)",
            hint="leave out --oom-score-adj",
        )


def _refuse_absent(what: str, wanted: str, path: str) -> None:
    """For a list of processors or memory nodes that are not there."""
    if not wanted or not os.path.exists(path):
        return
    with open(path, encoding="ascii") as file:
        online = file.read().strip()
    if not members(wanted) <= members(online):
        raise RuntimeFailure(
            f"the {what} {wanted} were asked for, and there are {online}",
            hint="name some of these",
        )


def _may_raise() -> bool:
    """The kernel asks for the right in its first user namespace."""
    return has_capability(CAP_SYS_RESOURCE) and not user_namespace()


def _refuse_raised(wanted: Ulimit) -> None:
    own = resource.getrlimit(number_of(wanted.name))[1]
    if own == resource.RLIM_INFINITY or _may_raise():
        return
    if wanted.hard == UNLIMITED or wanted.hard > own:
        raise RuntimeFailure(
            f"the limit {wanted.name} cannot be raised to {wanted.hard}: this process may only go"
            f" to {own} (no CAP_SYS_RESOURCE)",
            hint=f"give --ulimit {wanted.name}={own} at most",
        )


def number_of(name: str) -> int:
    """The number of a limit (getrlimit(2)) by docker's name for it."""
    return _LOCKS if name == "locks" else int(getattr(resource, f"RLIMIT_{name.upper()}"))


def out_of_memory(limits: Limits) -> str:
    """What is said of a container that the kernel killed a process of for want of memory."""
    return (
        f"{OUT_OF_MEMORY}the kernel killed a process of the container, which may use"
        f" {human_binary(limits.memory)}; give it more with --memory"
    )
