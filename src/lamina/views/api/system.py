"""The store and this machine as the Engine API shows them: info, version, where the bytes are."""

import platform

from lamina import __version__
from lamina.engine.engine import Engine
from lamina.engine.platforms import host_platform
from lamina.engine.system import CachedStep, Usage
from lamina.engine.volumes import Volume
from lamina.spec.imageconfig import format_time
from lamina.views.api import Document, Version
from lamina.views.api.containers import summaries
from lamina.views.api.images import summary
from lamina.views.sharing import df_document
from lamina.views.system import info as own_info
from lamina.views.volumes import volume_document

_INDEX = "https://index.docker.io/v1/"
_NO_BUILDKIT = (
    "WARNING: there is no BuildKit session: set DOCKER_BUILDKIT=0 for docker build, which serves"
    " RUN --mount and here-documents as well"
)


def info(engine: Engine, version: Version) -> Document:
    """What `docker info` shows."""
    facts = own_info(engine)
    isolation = engine.system.isolation.name
    is_whole = isolation != "chroot"
    runtimes: Document = {isolation: {"path": isolation}}
    found: Document = {
        **facts,
        "DriverStatus": facts["DriverStatus"] or None,
        "Plugins": {
            "Volume": ["local"],
            "Network": ["host", "null"],
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        **dict.fromkeys(
            ("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet"),
            is_whole,
        ),
        "PidsLimit": is_whole,
        "OomKillDisable": False,
        "Debug": False,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs" if is_whole else "none",
        "CgroupVersion": engine.system.cgroup_version,
        "IndexServerAddress": _INDEX,
        "RegistryConfig": _registries(engine),
        "GenericResources": None,
        "HttpProxy": engine.config.environ.get("HTTP_PROXY", ""),
        "HttpsProxy": engine.config.environ.get("HTTPS_PROXY", ""),
        "NoProxy": engine.config.environ.get("NO_PROXY", ""),
        "Labels": [],
        "ExperimentalBuild": False,
        "Runtimes": runtimes,
        "DefaultRuntime": isolation,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,  # a container lives without whoever started it
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "Warnings": [_NO_BUILDKIT],
    }
    if version < (1, 42):
        found |= {"BridgeNfIptables": False, "BridgeNfIp6tables": False}
        found |= {"KernelMemory": False, "KernelMemoryTCP": False}
    return found


def _registries(engine: Engine) -> Document:
    mirrors = list(engine.config.registry_mirrors)
    official = {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
    others = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        for name in engine.config.insecure_registries
    }
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": official, **others},
        "Mirrors": mirrors,
    }


def version(newest: str, oldest: str) -> Document:
    """What `docker version` shows of a server."""
    machine = platform.uname()
    common: Document = {
        "ApiVersion": newest,
        "Arch": host_platform()[1],
        "BuildTime": "",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": machine.release,
        "MinAPIVersion": oldest,
        "Os": "linux",
    }
    engine = {"Name": "Engine", "Version": __version__}
    own = {"Name": "Lamina", "Version": __version__}
    return {
        "Platform": {"Name": "Lamina"},
        "Components": [
            {**engine, "Details": {**common, "Experimental": "false"}},
            {**own, "Details": {"Python": platform.python_version()}},
        ],
        "Version": __version__,
        **common,
    }


def disk_usage(engine: Engine, usage: Usage, version: Version, now: float) -> Document:
    """What `docker system df` shows: where the bytes are."""
    counted = {share.id: share.shared for share in engine.sharing().images}
    users = {image.id: image.containers for image in usage.images}
    held = frozenset(layer.chain_id for image in usage.images for layer in image.layers)
    figures = df_document(usage)["Images"]
    assert isinstance(figures, dict)
    return {
        "LayersSize": figures["Size"],
        "Images": [
            summary(
                image,
                version,
                shared=counted.get(image.id, 0),
                containers=users.get(image.id, 0),
            )
            for image in engine.images.list()
        ],
        "Containers": summaries(engine, engine.containers.list(everything=True), now, size=True),
        "Volumes": [_volume(each) for each in engine.volumes.list()],
        "BuildCache": [_cached(each, held) for each in engine.system.cached_steps()],
        "BuilderSize": 0,
    }


def _volume(volume: Volume) -> Document:
    used = {"UsageData": {"RefCount": len(volume.users), "Size": volume.size}}
    return volume_document(volume) | used


def _cached(step: CachedStep, held: frozenset[str]) -> Document:
    """A step that the build cache knows; one that an image holds, too, gives nothing back."""
    return {
        "ID": step.key,
        "Parent": "",
        "Type": "regular",
        "Description": f"{step.operation} {step.what}".strip(),
        "InUse": False,
        "Shared": step.chain_id in held,
        "Size": step.size,
        "CreatedAt": format_time(step.created),
        "LastUsedAt": None,
        "UsageCount": 0,
    }
