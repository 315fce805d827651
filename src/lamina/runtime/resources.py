"""Limits in the words of the OCI runtime specification (config-linux.md, config.md)."""

from lamina.runtime.limits import Limits
from lamina.spec.strictjson import Json

_UNLIMITED = (1 << 64) - 1  # RLIM_INFINITY, asm-generic/resource.h


def resources(limits: Limits, *, swap: bool = True) -> dict[str, Json]:
    """What stands beneath `linux.resources`; nothing for what has no limit.

    Without `swap` that of memory brings none of swap, as in docker: a kernel may not count it.

    A share of disks is given to the control group around the container alone: crun knows but one
    of the kernel's schedulers.
    """
    said: dict[str, Json] = {
        "memory": _memory(limits, swap),
        "cpu": _processors(limits),
        "pids": {"limit": limits.pids} if limits.pids else None,
    }
    return {key: value for key, value in said.items() if value}


def _memory(limits: Limits, swap: bool) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if limits.memory:
        found["limit"] = limits.memory
        found |= {"swap": limits.swap} if swap else {}
    if limits.memory_reservation:
        found["reservation"] = limits.memory_reservation
    if limits.memory_swappiness >= 0:
        found["swappiness"] = limits.memory_swappiness
    return found


def _processors(limits: Limits) -> dict[str, Json]:
    quota, period = limits.quota
    said: dict[str, Json] = {
        "shares": limits.shares,
        "quota": quota,
        "period": period,
        "cpus": limits.cpuset_cpus,
        "mems": limits.cpuset_mems,
    }
    return {key: value for key, value in said.items() if value}


def rlimits(limits: Limits, core: int) -> list[Json]:
    """Those of every process; of core dumps, at most `core` bytes, none unless it is said.

    A killed command leaves no core dump in its layer.
    """
    said: dict[str, tuple[int, int]] = {"core": (0, core)}
    said.update((each.name, (each.soft, each.hard)) for each in limits.ulimits)
    return [
        {
            "type": f"RLIMIT_{name.upper()}",
            "soft": soft & _UNLIMITED,
            "hard": hard & _UNLIMITED,
        }
        for name, (soft, hard) in said.items()
    ]
