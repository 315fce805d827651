"""From what is asked for in docker's words to the typed wishes of a container."""

import os
from collections.abc import Mapping, Sequence

from lamina.containers.health import Health, checked
from lamina.containers.lasting import Lasting
from lamina.containers.settings import Wishes
from lamina.engine.wishes import Limited, Wanted
from lamina.runtime import mountspelling, spelling, tmpfs
from lamina.runtime.capabilities import named
from lamina.runtime.confinement import Confinement
from lamina.runtime.limits import UNLIMITED, Limits, check, cpus, ulimit
from lamina.runtime.naming import Naming, naming
from lamina.runtime.ports import ports
from lamina.runtime.process import Tmpfs, Volume
from lamina.values.size import parse as parse_size


def to_wishes(
    command: Sequence[str] | None,
    auto_remove: bool,
    wanted: Wanted,
    taken: tuple[Volume, ...] = (),
) -> Wishes:
    """The typed wishes, with the volumes `taken` from other containers; raises `UsageError`."""
    volumes, in_memory = _mounts(wanted, taken)
    environment = wanted.get("environment", ())
    if isinstance(environment, Mapping):
        environment = [f"{key}={value}" for key, value in environment.items()]
    entrypoint = wanted.get("entrypoint")
    return Wishes(
        command=tuple(command) if command is not None else None,
        entrypoint=tuple(entrypoint) if entrypoint is not None else None,
        environment=tuple(environment),
        working_dir=wanted.get("working_dir"),
        user=wanted.get("user"),
        volumes=volumes,
        network=wanted.get("network", "host"),
        hostname=wanted.get("hostname"),
        tty=wanted.get("tty", False),
        stdin_open=wanted.get("stdin_open", False),
        stdin_once=wanted.get("stdin_once", False),
        labels=tuple(wanted.get("labels", {}).items()),
        auto_remove=auto_remove,
        missing_sources=tuple(wanted.get("missing_sources", ())),
        storage_size=wanted.get("storage_size"),
        privileged=wanted.get("privileged", False),
        read_only=wanted.get("read_only", False),
        tmpfs=in_memory,
        confinement=_confinement(wanted),
        limits=limits_of(wanted),
        naming=_naming(wanted),
        annotations=tuple(wanted.get("annotations", {}).items()),
        exposed=ports(wanted.get("expose", ())),
        lasting=wanted.get("lasting", Lasting()),
        health=checked(wanted.get("health", Health())),
    )


def _mounts(
    wanted: Wanted, taken: tuple[Volume, ...]
) -> tuple[tuple[Volume, ...], tuple[Tmpfs, ...]]:
    """What is shown; of what another container has, what is not said to be something else."""
    made = wanted.get("missing_sources", ())
    volumes = [
        mountspelling.volume(each, made) if isinstance(each, str) else each
        for each in wanted.get("volumes", ())
    ]
    in_memory = [
        tmpfs.spelled(f"{path}:{options}") for path, options in wanted.get("tmpfs", {}).items()
    ]
    for text in wanted.get("mounts", ()):
        mount = mountspelling.mount(text, made)
        if isinstance(mount, Tmpfs):
            in_memory.append(mount)
        else:
            volumes.append(mount)
    mountspelling.once_each(volumes, in_memory)
    said = {each.target for each in volumes} | {each.target for each in in_memory}
    volumes += [each for each in taken if each.target not in said]
    return tuple(volumes), tuple(in_memory)


def _naming(wanted: Wanted) -> Naming:
    hosts = wanted.get("extra_hosts", ())
    if isinstance(hosts, Mapping):
        hosts = [f"{name}={address}" for name, address in hosts.items()]
    return naming(
        hosts,
        wanted.get("dns", ()),
        wanted.get("dns_search", ()),
        wanted.get("dns_opt", ()),
        wanted.get("network", "host"),
    )


_FIELDS = {
    "mem_limit": "memory",
    "memswap_limit": "memory_swap",
    "mem_reservation": "memory_reservation",
    "mem_swappiness": "memory_swappiness",
    "cpus": "nano_cpus",
    "pids_limit": "pids",
}


def relimited(limits: Limits, wanted: Limited) -> Limits:
    """Limits with those changed that are asked for; raises `UsageError`."""
    said = _said(wanted)
    fields = [_FIELDS.get(name, name) for name in wanted]
    found = limits._replace(**{field: getattr(said, field) for field in fields})
    check(found, os.cpu_count() or 1)
    return found


def limits_of(wanted: Limited) -> Limits:
    """What is asked for, as values; raises `UsageError`."""
    found = _said(wanted)
    check(found, os.cpu_count() or 1)
    return found


def _said(wanted: Limited) -> Limits:
    number = wanted.get("cpus")
    swappiness = wanted.get("mem_swappiness")
    swap = wanted.get("memswap_limit")
    return Limits(
        memory=_bytes(wanted.get("mem_limit")),
        memory_swap=UNLIMITED if str(swap) == str(UNLIMITED) else _bytes(swap),
        memory_reservation=_bytes(wanted.get("mem_reservation")),
        memory_swappiness=UNLIMITED if swappiness is None else swappiness,
        nano_cpus=0 if number is None else cpus(str(number)),
        cpu_shares=wanted.get("cpu_shares", 0),
        cpu_period=wanted.get("cpu_period", 0),
        cpu_quota=max(wanted.get("cpu_quota", 0), 0),
        cpuset_cpus=wanted.get("cpuset_cpus", ""),
        cpuset_mems=wanted.get("cpuset_mems", ""),
        pids=max(wanted.get("pids_limit", 0), 0),
        blkio_weight=wanted.get("blkio_weight", 0),
        oom_score_adj=wanted.get("oom_score_adj", 0),
        ulimits=tuple(ulimit(each) for each in wanted.get("ulimits", ())),
    )


def _bytes(size: int | str | None) -> int:
    return 0 if size is None else parse_size(str(size))


def _confinement(wanted: Wanted) -> Confinement:
    spelling.user_mode(wanted.get("userns_mode", ""))
    said = Confinement(
        cap_add=tuple(named(each) for each in wanted.get("cap_add", ())),
        cap_drop=tuple(named(each) for each in wanted.get("cap_drop", ())),
        devices=tuple(spelling.device(each) for each in wanted.get("devices", ())),
        groups=tuple(str(each) for each in wanted.get("group_add", ())),
        pid=spelling.pid_mode(wanted.get("pid_mode", "")),
        ipc=spelling.ipc_mode(wanted.get("ipc_mode", "")),
        uts=spelling.uts_mode(wanted.get("uts_mode", "")),
        init=wanted.get("init", False),
    )
    parameters = wanted.get("sysctls", {}).items()
    network = wanted.get("network", "host")
    said = said._replace(sysctls=spelling.sysctls(parameters, network, said.ipc))
    size = _bytes(wanted.get("shm_size"))
    if size:
        said = said._replace(shm_size=size)
    return spelling.with_security(said, wanted.get("security_opt", ()))
