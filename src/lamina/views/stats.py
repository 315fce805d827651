"""What containers use, as `docker stats` and the Docker API show it."""

import os
import time
from typing import NamedTuple

from lamina.engine.container import Container
from lamina.execution.accounting import Usage
from lamina.values.size import human, human_binary

Document = dict[str, object]
_NOTHING = Usage(0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Measured(NamedTuple):
    """A container and two looks at what it uses; None where it did not run."""

    container: Container
    before: Usage | None
    now: Usage | None


def stats_row(measured: Measured, *, short: bool = True) -> Document:
    """One row of the table, under docker's names."""
    container, before, now = measured
    id_ = container.short_id if short else container.id
    named: Document = {"Container": id_, "ID": id_, "Name": container.name}
    if now is None:
        nothing = "-- / --"
        return named | {
            "CPUPerc": "--",
            "MemUsage": nothing,
            "MemPerc": "--",
            "NetIO": nothing,
            "BlockIO": nothing,
            "PIDs": "--",
        }
    limit = memory_limit(container)
    return named | {
        "CPUPerc": f"{_share(before, now):.2f}%",
        "MemUsage": f"{human_binary(now.memory)} / {human_binary(limit)}",
        "MemPerc": f"{100 * now.memory / limit:.2f}%",
        "NetIO": f"{human(now.received)} / {human(now.sent)}",
        "BlockIO": f"{human(now.read)} / {human(now.written)}",
        "PIDs": str(now.tasks),
    }


def _share(before: Usage | None, now: Usage) -> float:
    """Hundredths of one processor between two looks; of none, docker's zero."""
    if before is None or now.system <= before.system:
        return 0.0
    used = max(0, now.cpu - before.cpu) / (now.system - before.system)
    return used * _processors() * 100


def memory_limit(container: Container) -> int:
    """Bytes that it may use: its limit, or all that there is."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(container.settings.limits.memory or there, there)


def stats_document(measured: Measured) -> Document:
    """What docker's API gives (`/containers/ID/stats`); zeros for one that does not run."""
    container, before, now = measured
    return {
        "read": _moment(now),
        "preread": _moment(before),
        "pids_stats": {"current": now.tasks} if now is not None else {},
        "blkio_stats": _disks(now),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _processor_stats(now),
        "precpu_stats": _processor_stats(before),
        "memory_stats": _memory_stats(container, now),
        "name": f"/{container.name}",
        "id": container.id,
        **_networks(now),
    }


def _moment(usage: Usage | None) -> str:
    if usage is None:
        return "0001-01-01T00:00:00Z"
    whole, rest = divmod(round(usage.time * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest:06d}000Z"


def _processor_stats(usage: Usage | None) -> Document:
    throttled = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    found = usage or _NOTHING
    used: Document = {
        "total_usage": found.cpu,
        "usage_in_kernelmode": 0,
        "usage_in_usermode": 0,
    }
    known: Document = {}
    if usage is not None:
        known = {"system_cpu_usage": usage.system, "online_cpus": _processors()}
    return {"cpu_usage": used, **known, "throttling_data": throttled}


def _processors() -> int:
    return os.cpu_count() or 1


def _memory_stats(container: Container, usage: Usage | None) -> Document:
    """Clients take the inactive caches off: version 1 calls them `total_inactive_file`."""
    if usage is None:
        return {}
    caches = {"inactive_file": usage.idle, "total_inactive_file": usage.idle}
    return {
        "usage": usage.memory + usage.idle,
        "stats": caches,
        "limit": memory_limit(container),
    }


def _disks(usage: Usage | None) -> Document:
    if usage is None:
        return {"io_service_bytes_recursive": None}
    rows = [
        {"major": 0, "minor": 0, "op": op, "value": value}
        for op, value in (("read", usage.read), ("write", usage.written))
    ]
    return {"io_service_bytes_recursive": rows}


def _networks(usage: Usage | None) -> Document:
    if usage is None or not (usage.received or usage.sent):
        return {}
    return {"networks": {"eth0": {"rx_bytes": usage.received, "tx_bytes": usage.sent}}}
