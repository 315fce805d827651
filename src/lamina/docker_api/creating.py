"""What docker's clients ask of a new container, in the words of the engine.

Fields that say nothing (an empty text, 0, null) are passed over, as docker does. What Lamina
cannot do is refused in a sentence; what docker itself passes over with a warning is a warning.
"""

import os
import posixpath
from typing import NamedTuple, cast

from lamina.containers.health import Health, of_document
from lamina.containers.lasting import NO_RESTART, Lasting, with_log, with_restart
from lamina.containers.signals import number_of
from lamina.docker_api.fields import Fields
from lamina.docker_api.limits import of_container
from lamina.engine.wishes import Wanted
from lamina.errors import UsageError
from lamina.values.size import parse as parse_size

_SHARED_HOST = (
    "the container has this machine's network: there is no bridge; --network none gives it none"
)
_NO_PORTS = "Published ports are discarded when using host network mode"
_HOST_NETWORK = ("", "default", "host")
_PLAIN_NETWORKS = (*_HOST_NETWORK, "none")
# What docker has in HostConfig and Lamina has not: how it is said, and a word for it.
_ABSENT = {
    "BlkioDeviceReadBps": "a limit of reads from one device",
    "BlkioDeviceReadIOps": "a limit of reads from one device",
    "BlkioDeviceWriteBps": "a limit of writes to one device",
    "BlkioDeviceWriteIOps": "a limit of writes to one device",
    "BlkioWeightDevice": "a weight of one device",
    "CgroupParent": "another parent of its control group",
    "CpuRealtimePeriod": "real-time scheduling",
    "CpuRealtimeRuntime": "real-time scheduling",
    "DeviceCgroupRules": "rules of devices beside --device",
    "DeviceRequests": "devices by driver (--gpus)",
    "KernelMemory": "a limit of kernel memory",
    "Links": "links to other containers",
    "OomKillDisable": "to be spared when memory is out",
}


class Ordered(NamedTuple):
    """A container that is asked for, and what its maker is to be warned of."""

    image: str
    command: tuple[str, ...] | None
    auto_remove: bool
    wanted: Wanted
    warnings: tuple[str, ...]


def ordered(said: Fields, name: str | None) -> Ordered:
    """Read a request to create; raises `UsageError`."""
    host = said.within("HostConfig")
    _refuse_absent(said, host)
    network, warnings = _network(said, host)
    entrypoint = said.texts_or_none("Entrypoint")
    wanted: Wanted = {
        "name": name,
        "entrypoint": () if entrypoint == ("",) else entrypoint or None,
        "environment": said.texts("Env"),
        "working_dir": said.text("WorkingDir") or None,
        "user": said.text("User") or None,
        "volumes": (*host.texts("Binds"), *_anonymous(said, host)),
        "mounts": [_mount(each) for each in host.each("Mounts")],
        "missing_sources": _missing(host),
        "volumes_from": host.texts("VolumesFrom"),
        "network": network,
        "hostname": said.text("Hostname") or None,
        "tty": said.flag("Tty"),
        "stdin_open": said.flag("OpenStdin"),
        "stdin_once": said.flag("StdinOnce"),
        "labels": said.mapping("Labels"),
        "storage_size": _storage_size(host),
        "lasting": _lasting(said, host),
        "health": _health(said.raw("Healthcheck")),
        "expose": said.names("ExposedPorts"),
        "extra_hosts": host.texts("ExtraHosts"),
        "dns": host.texts("Dns"),
        "dns_search": host.texts("DnsSearch"),
        "dns_opt": host.texts("DnsOptions"),
        "sysctls": host.mapping("Sysctls"),
        "annotations": host.mapping("Annotations"),
    }
    _confine(wanted, host)
    whole = cast("Wanted", {**wanted, **of_container(host)})  # which are some of its keys
    command = said.texts_or_none("Cmd") or None
    return Ordered(said.text("Image"), command, host.flag("AutoRemove"), whole, tuple(warnings))


def _refuse_absent(said: Fields, host: Fields) -> None:
    for field, what in _ABSENT.items():
        if host.raw(field):
            raise UsageError(f"{what} cannot be had here ({field})")
    if said.text("Domainname"):
        raise UsageError("a domain name of its own cannot be had here (Domainname)")
    if said.text("MacAddress"):
        raise UsageError("an address of its own cannot be had here (MacAddress)")
    if host.text("VolumeDriver") not in ("", "local"):
        raise UsageError(
            f"there is no volume driver {host.text('VolumeDriver')[:60]!r}: only local"
        )
    if host.text("Isolation") not in ("", "default"):
        raise UsageError(f"there is no isolation {host.text('Isolation')[:40]!r} on Linux")


def _network(said: Fields, host: Fields) -> tuple[str, list[str]]:
    """The mode, and what is to be warned of: nothing of a network is passed over in silence."""
    mode = "none" if said.flag("NetworkDisabled") else host.text("NetworkMode")
    others = said.within("NetworkingConfig").names("EndpointsConfig")
    for each in (mode, *others):
        if each not in _PLAIN_NETWORKS:
            raise UsageError(f"network {each[:100]} not found", hint="there are host and none")
    warnings = [_SHARED_HOST] if mode in ("", "default") else []
    if host.names("PortBindings") or host.flag("PublishAllPorts"):
        if mode == "none":
            raise UsageError("no port of a container without a network can be published")
        warnings.append(_NO_PORTS)
    return ("none" if mode == "none" else "host"), warnings


def _missing(host: Fields) -> list[str]:
    """Directories of this machine that are to be made, as docker does for `-v`, and where asked."""
    sources = [source for text in host.texts("Binds") if (source := text.partition(":")[0]) != text]
    sources += [
        each.text("Source")
        for each in host.each("Mounts")
        if each.within("BindOptions").flag("CreateMountpoint")
    ]
    found = [os.path.abspath(each) for each in sources if each.startswith("/")]
    return [each for each in found if not os.path.exists(each)]


def _anonymous(said: Fields, host: Fields) -> list[str]:
    """What is to be a volume without a name: where nothing else is said to be seen."""
    taken = {text.split(":")[1] for text in host.texts("Binds") if ":" in text}
    taken |= {each.text("Target") for each in host.each("Mounts")} | set(host.names("Tmpfs"))
    places = {posixpath.normpath(each) for each in taken}
    return [path for path in said.names("Volumes") if posixpath.normpath(path) not in places]


def _mount(said: Fields) -> str:
    """One of Mounts as `--mount` spells it."""
    kind = said.text("Type") or "volume"
    words = [f"type={kind}", _word("target", said.text("Target"))]
    if said.text("Source"):
        words.append(_word("source", said.text("Source")))
    if said.flag("ReadOnly"):
        words.append("readonly")
    bind, kept, memory = (said.within(f"{each}Options") for each in ("Bind", "Volume", "Tmpfs"))
    if bind.text("Propagation"):
        words.append(f"bind-propagation={bind.text('Propagation')}")
    if bind.flag("NonRecursive"):
        words.append("bind-recursive=disabled")
    if kept.flag("NoCopy"):
        words.append("volume-nocopy")
    driver = kept.within("DriverConfig").text("Name")
    if driver:
        words.append(_word("volume-driver", driver))
    if memory.number("SizeBytes"):
        words.append(f"tmpfs-size={memory.number('SizeBytes')}")
    if memory.number("Mode"):
        words.append(f"tmpfs-mode={memory.number('Mode'):o}")
    return ",".join(words)


def _word(key: str, value: str) -> str:
    quoted = f"{key}={value}".replace('"', '""')
    return f'"{quoted}"'


def _storage_size(host: Fields) -> int | None:
    options = host.mapping("StorageOpt")
    for key in options:
        if key != "size":
            raise UsageError(f"unknown storage option {key[:40]!r}", hint="there is size")
    return parse_size(options["size"]) if "size" in options else None


def _lasting(said: Fields, host: Fields) -> Lasting:
    signal = said.text("StopSignal")
    if signal:
        number_of(signal)
    patience = said.number("StopTimeout") if said.raw("StopTimeout") is not None else None
    plain = with_restart(Lasting(signal, patience), restart_of(host.within("RestartPolicy")))
    log = host.within("LogConfig")
    driver, options = log.text("Type"), log.mapping("Config")
    if driver not in ("", "json-file", "none"):
        raise UsageError(f"logger: no log driver named '{driver[:60]}' is registered")
    return with_log(plain, driver or "json-file", options) if driver or options else plain


def _health(said: object) -> Health:
    if said is not None and not isinstance(said, dict):
        raise UsageError("the Healthcheck is no object")
    return of_document(said)


def restart_of(said: Fields) -> str:
    """As `--restart` spells it."""
    name, most = said.text("Name") or NO_RESTART, said.number("MaximumRetryCount")
    return f"{name}:{most}" if name == "on-failure" and most > 0 else name


def _confine(wanted: Wanted, host: Fields) -> None:
    wanted["read_only"] = host.flag("ReadonlyRootfs")
    wanted["tmpfs"] = host.mapping("Tmpfs")
    wanted["cap_add"] = host.texts("CapAdd")
    wanted["cap_drop"] = host.texts("CapDrop")
    wanted["security_opt"] = host.texts("SecurityOpt")
    wanted["privileged"] = host.flag("Privileged")
    wanted["devices"] = [_device(each) for each in host.each("Devices")]
    wanted["group_add"] = host.texts("GroupAdd")
    wanted["pid_mode"] = host.text("PidMode")
    wanted["ipc_mode"] = host.text("IpcMode")
    wanted["uts_mode"] = host.text("UTSMode")
    wanted["userns_mode"] = host.text("UsernsMode")
    wanted["shm_size"] = host.number("ShmSize") or None
    wanted["init"] = host.flag("Init")


def _device(said: Fields) -> str:
    source = said.text("PathOnHost")
    access = said.text("CgroupPermissions") or "rwm"
    return f"{source}:{said.text('PathInContainer') or source}:{access}"
