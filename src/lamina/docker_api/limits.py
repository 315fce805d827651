"""Limits of containers and of builds as docker's clients spell them, in the words of the engine.

What says nothing (0, an empty text, null) is passed over, as docker does.
"""

from collections.abc import Iterable
from typing import cast

from lamina.docker_api.fields import Fields
from lamina.docker_api.request import Query
from lamina.engine.buildwishes import BuildWishes
from lamina.engine.wishes import Limited

_NUMBERS = {  # of HostConfig
    "Memory": "mem_limit",
    "MemorySwap": "memswap_limit",
    "MemoryReservation": "mem_reservation",
    "CpuShares": "cpu_shares",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "PidsLimit": "pids_limit",
    "BlkioWeight": "blkio_weight",
    "OomScoreAdj": "oom_score_adj",
}
_TEXTS = {"CpusetCpus": "cpuset_cpus", "CpusetMems": "cpuset_mems"}
_BUILD_NUMBERS = {  # of POST /build
    "memory": "mem_limit",
    "memswap": "memswap_limit",
    "shmsize": "shm_size",
    "cpushares": "cpu_shares",
    "cpuperiod": "cpu_period",
    "cpuquota": "cpu_quota",
}
_BUILD_TEXTS = {"cpusetcpus": "cpuset_cpus", "cpusetmems": "cpuset_mems"}
_UNLIMITED_SWAPPINESS = -1


def of_container(host: Fields) -> Limited:
    """The limits that a HostConfig says, and no others; raises `UsageError`."""
    said: dict[str, object] = {ours: host.number(name) for name, ours in _NUMBERS.items()}
    said |= {ours: host.text(name) for name, ours in _TEXTS.items()}
    said["cpus"] = host.number("NanoCpus") / 1e9
    said["ulimits"] = _ulimits(host.each("Ulimits"))
    found = {name: value for name, value in said.items() if value}
    if host.raw("MemorySwappiness") not in (None, _UNLIMITED_SWAPPINESS):
        found["mem_swappiness"] = host.number("MemorySwappiness")
    return cast("Limited", found)


def of_build(query: Query) -> BuildWishes:
    """What RUN may use at most, and knows of hosts, where anything is said of it.

    Raises `UsageError`.
    """
    said: dict[str, object] = {ours: query.number(name) for name, ours in _BUILD_NUMBERS.items()}
    said |= {ours: query.text(name) for name, ours in _BUILD_TEXTS.items()}
    said["extra_hosts"] = query.all("extrahosts")
    said["ulimits"] = _ulimits(Fields({"said": query.document("ulimits")}).each("said"))
    return cast("BuildWishes", {name: value for name, value in said.items() if value})


def _ulimits(said: Iterable[Fields]) -> list[str]:
    return [f"{each.text('Name')}={each.number('Soft')}:{each.number('Hard')}" for each in said]
