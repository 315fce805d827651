"""The `HostConfig` of `docker inspect`: what a container was asked to be kept apart by."""

from lamina.containers.settings import Settings
from lamina.runtime.bundle import hidden_paths
from lamina.runtime.confinement import Confinement
from lamina.runtime.limits import Limits
from lamina.runtime.naming import Naming

Document = dict[str, object]


def host_config(settings: Settings) -> Document:
    """As docker shows it; what was not said has docker's default."""
    confinement = settings.confinement
    masked, read_only = hidden_paths(settings.process())
    return {
        "NetworkMode": settings.network,
        "AutoRemove": settings.auto_remove,
        "Binds": [
            f"{volume.name or volume.source}:{volume.target}" + (":ro" if volume.readonly else "")
            for volume in settings.volumes
            if not _is_drawn(volume.name)
        ]
        or None,
        "Privileged": settings.privileged,
        "ReadonlyRootfs": settings.read_only,
        "Tmpfs": {each.target: ",".join(each.options) for each in settings.tmpfs},
        "CapAdd": list(confinement.cap_add) or None,
        "CapDrop": list(confinement.cap_drop) or None,
        "SecurityOpt": _security_options(confinement),
        "Devices": [
            {
                "PathOnHost": device.source,
                "PathInContainer": device.target,
                "CgroupPermissions": device.access,
            }
            for device in confinement.devices
        ],
        "GroupAdd": list(confinement.groups) or None,
        "PidMode": confinement.pid,
        "IpcMode": confinement.ipc or "private",
        "UTSMode": confinement.uts,
        "UsernsMode": "",
        "ShmSize": confinement.shm_size,
        "Init": confinement.init or None,
        "Sysctls": dict(confinement.sysctls),
        "Annotations": dict(settings.annotations) or None,
        "RestartPolicy": {
            "Name": settings.lasting.restart,
            "MaximumRetryCount": settings.lasting.restart_retries,
        },
        **_naming(settings.naming),
        **_limits(settings.limits),
        "MaskedPaths": list(masked) or None,
        "ReadonlyPaths": list(read_only) or None,
    }


def _is_drawn(name: str) -> bool:
    """Whether nobody gave a volume that name: docker tells of it among the mounts alone."""
    return len(name) == 64 and frozenset("0123456789abcdef").issuperset(name)


def _security_options(confinement: Confinement) -> list[str] | None:
    found = ["no-new-privileges"] if confinement.no_new_privileges else []
    if confinement.seccomp:
        found.append(f"seccomp={confinement.seccomp}")
    if confinement.apparmor:
        found.append(f"apparmor={confinement.apparmor}")
    return found or None


def _naming(naming: Naming) -> Document:
    return {
        "ExtraHosts": [f"{name}:{address}" for name, address in naming.hosts] or None,
        "Dns": list(naming.servers),
        "DnsSearch": list(naming.search),
        "DnsOptions": list(naming.options),
    }


def _limits(limits: Limits) -> Document:
    return {
        "Memory": limits.memory,
        "MemorySwap": limits.swap if limits.memory else limits.memory_swap,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwappiness": limits.memory_swappiness if limits.memory_swappiness >= 0 else None,
        "NanoCpus": limits.nano_cpus,
        "CpuShares": limits.cpu_shares,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "PidsLimit": limits.pids or None,
        "BlkioWeight": limits.blkio_weight,
        "OomScoreAdj": limits.oom_score_adj,
        "Ulimits": [
            {"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in limits.ulimits
        ]
        or None,
    }
