"""Containers as the Engine API shows them: in lists, and one by one."""

import os
from collections.abc import Iterable
from contextlib import suppress

from lamina.containers.lasting import Lasting
from lamina.engine.container import Container
from lamina.engine.engine import Engine
from lamina.errors import ContainerNotFound
from lamina.runtime.process import Volume
from lamina.views.api import Document, Version
from lamina.views.api.networks import endpoint
from lamina.views.containers import command_text, container_document, status_text

# What docker's HostConfig has and nothing here can be told of.
_UNSAID: Document = {
    "ContainerIDFile": "",
    "PortBindings": {},
    "VolumeDriver": "",
    "VolumesFrom": None,
    "Cgroup": "",
    "Links": None,
    "PublishAllPorts": False,
    "ConsoleSize": [0, 0],
    "Isolation": "",
    "CgroupParent": "",
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": None,
    "BlkioDeviceWriteBps": None,
    "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteIOps": None,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "OomKillDisable": False,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
_GONE: Document = {"KernelMemory": 0, "KernelMemoryTCP": 0}  # with 1.42
_NETWORK: Document = {
    "Bridge": "",
    "SandboxID": "",
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "Ports": {},
    "SandboxKey": "",
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}


def summary(engine: Engine, container: Container, now: float, *, size: bool = False) -> Document:
    """One entry of a list; the sizes are measured only when they are asked for."""
    settings = container.settings
    found: Document = {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image_name,
        "ImageID": container.image,
        "Command": command_text(settings.args),
        "Created": int(container.created_at),
        "Ports": [],
        "Labels": dict(settings.labels),
        "State": container.status,
        "Status": status_text(container, now),
        "HostConfig": {"NetworkMode": settings.network},
        "NetworkSettings": {"Networks": _endpoints(engine, container)},
        "Mounts": [_mount(each, container.source_of(each)) for each in settings.volumes],
    }
    return found | (sizes(container) if size else {})


def summaries(
    engine: Engine, found: Iterable[Container], now: float, *, size: bool = False
) -> list[Document]:
    """A list of them, without what was removed meanwhile."""
    told = []
    for each in found:
        with suppress(ContainerNotFound):
            told.append(summary(engine, each, now, size=size))
    return told


def sizes(container: Container) -> Document:
    """What it wrote, and that with all of its image, in apparent bytes."""
    written = container.size
    return {"SizeRw": written, "SizeRootFs": written + container.image_size}


def _mount(volume: Volume, source: str) -> Document:
    kept: Document = {"Name": volume.name} if volume.name else {}
    return {
        "Type": "volume" if volume.name else "bind",
        **kept,
        "Source": "" if volume.name else source,
        "Destination": volume.target,
        **({"Driver": "local"} if volume.name else {}),
        "Mode": "ro" if volume.readonly else "",
        "RW": not volume.readonly,
        "Propagation": "" if volume.name else "rprivate",
    }


def _endpoints(engine: Engine, container: Container) -> Document:
    mode = container.settings.network
    return {mode: endpoint(engine, mode, container.id if container.is_up else "")}


def inspected(
    engine: Engine,
    container: Container,
    version: Version,
    *,
    execs: list[str],
    size: bool = False,
) -> Document:
    """All of one container; `execs` are the IDs of commands that run in it."""
    found = container_document(container, engine.driver.name)
    host, config = found["HostConfig"], found["Config"]
    assert isinstance(host, dict)
    assert isinstance(config, dict)
    lasting = container.settings.lasting
    log: Document = {"Type": lasting.log_driver, "Config": _log_options(lasting)}
    limits: Document = {
        "Runtime": engine.system.isolation.name,
        "CgroupnsMode": cgroup_namespace(engine),
        "LogConfig": log,
    }
    found["HostConfig"] = _UNSAID | (_GONE if version < (1, 42) else {}) | limits | host
    found["Config"] = config | _of_the_container(container)
    found["ExecIDs"] = execs or None
    found |= {"MountLabel": "", "ProcessLabel": "", "AppArmorProfile": ""}
    found |= _host_files(engine, container)
    found["NetworkSettings"] = _NETWORK | {"Networks": _endpoints(engine, container)}
    return found | (sizes(container) if size else {})


def cgroup_namespace(engine: Engine) -> str:
    """Whether containers see control groups of their own: as docker has it by default."""
    return "host" if engine.system.cgroup_version == "1" else "private"


def _log_options(lasting: Lasting) -> Document:
    """As they would be said, where they are not the usual ones."""
    usual, found = Lasting(), dict[str, object]()
    if lasting.log_files and lasting.log_files != usual.log_files:
        found["max-file"] = str(lasting.log_files)
    if lasting.log_files and lasting.log_size != usual.log_size:
        found["max-size"] = str(lasting.log_size or -1)
    return found


def _of_the_container(container: Container) -> Document:
    settings = container.settings
    said: Document = {"StdinOnce": settings.stdin_once}
    if settings.lasting.stop_signal:
        said["StopSignal"] = settings.lasting.stop_signal
    if settings.lasting.stop_timeout is not None:
        said["StopTimeout"] = int(settings.lasting.stop_timeout)
    return said


def _host_files(engine: Engine, container: Container) -> Document:
    """Where what it sees in /etc lies, while it runs."""
    names = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    room = os.path.join(engine.run_root, container.id)
    return {key: os.path.join(room, name) if container.is_up else "" for key, name in names.items()}
