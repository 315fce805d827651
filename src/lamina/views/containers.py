"""Containers as `docker ps` and `docker inspect` show them."""

import json
import os
from collections.abc import Sequence

from lamina.engine.container import Container
from lamina.runtime.limits import OUT_OF_MEMORY
from lamina.runtime.process import Volume
from lamina.spec.imageconfig import format_time
from lamina.values.ages import age
from lamina.values.size import human

Document = dict[str, object]
_COMMAND_WIDTH = 20  # docker's
_IN_MEMORY: Document = {
    "Type": "tmpfs",
    "Source": "",
    "Destination": "",
    "Mode": "",
    "RW": True,
    "Propagation": "",
}
_NEVER = "0001-01-01T00:00:00Z"


def container_row(
    container: Container, now: float, *, size: bool = False, short: bool = False
) -> Document:
    """One row; the size is only measured when it is asked for, and `short` cuts ID and command."""
    command = command_text(container.settings.args)
    return {
        "ID": container.short_id if short else container.id,
        "Image": container.image_name,
        "Command": json.dumps(_shortened(command) if short else command, ensure_ascii=False),
        "CreatedAt": format_time(container.created_at),
        "RunningFor": f"{age(now - container.created_at)} ago",
        "Status": status_text(container, now),
        "State": container.status,
        "Ports": "",
        "Names": container.name,
        "Labels": ",".join(f"{key}={value}" for key, value in container.settings.labels),
        "Size": _sizes(container) if size else "",
        "Networks": container.settings.network,
        "Mounts": ",".join(each.name or each.source for each in container.settings.volumes),
        "LocalVolumes": str(sum(1 for each in container.settings.volumes if each.name)),
    }


def _sizes(container: Container) -> str:
    written = container.size
    return f"{human(written)} (virtual {human(written + container.image_size)})"


def command_text(args: Sequence[str]) -> str:
    """A command as docker writes it on one line: an argument of several words in quotes."""
    head, *rest = args
    return " ".join([head, *(f"'{each}'" if " " in each else each for each in rest)])


def _shortened(text: str) -> str:
    return text if len(text) <= _COMMAND_WIDTH else text[: _COMMAND_WIDTH - 1] + "…"


def status_text(container: Container, now: float) -> str:
    """`Up 2 seconds`, `Exited (0) 5 minutes ago`, `Created`."""
    if container.status == "restarting":
        return f"Restarting ({container.exit_code}) {age(now - (container.finished_at or now))} ago"
    if container.is_up and container.started_at is not None:
        held = " (Paused)" if container.status == "paused" else _health_text(container)
        return f"Up {age(now - container.started_at)}{held}"
    if container.status == "exited":
        ended = container.finished_at or container.started_at or now
        code = container.exit_code if container.exit_code is not None else 137
        return f"Exited ({code}) {age(now - ended)} ago"
    return "Created"


def _health_text(container: Container) -> str:
    health = container.health
    if health is None:
        return ""
    return f" ({'health: ' if health.status == 'starting' else ''}{health.status})"


def container_document(container: Container, driver: str) -> Document:
    """A container as `docker inspect` shows it."""
    from lamina.views.hostconfig import host_config  # a listing makes none
    from lamina.views.images import UNSAID

    settings = container.settings
    return {
        "Id": container.id,
        "Created": format_time(container.created_at),
        "Path": settings.args[0],
        "Args": list(settings.args[1:]),
        "State": _state(container),
        "Image": container.image,
        "Name": f"/{container.name}",
        "LogPath": container.log_path if os.path.exists(container.log_path) else "",
        "RestartCount": container.restarts,
        "Driver": driver,
        "Platform": "linux",
        "HostConfig": host_config(settings),
        "GraphDriver": {"Name": driver, "Data": dict(container.graph_driver)},
        "Mounts": [
            *(_mount(volume, container.source_of(volume)) for volume in settings.volumes),
            *(_IN_MEMORY | {"Destination": each.target} for each in settings.tmpfs),
        ],
        "Config": {**UNSAID, **_of_the_container(container), **container.config},
        "NetworkSettings": _network(settings.network),
    }


def _mount(volume: Volume, source: str) -> Document:
    kept: Document = {"Name": volume.name, "Driver": "local"} if volume.name else {}
    return {
        "Type": "volume" if volume.name else "bind",
        **kept,
        "Source": source,
        "Destination": volume.target,
        "Mode": "ro" if volume.readonly else "",
        "RW": not volume.readonly,
        "Propagation": "" if volume.name else "rprivate",
    }


def _network(mode: str) -> Document:
    """What scripts read of a container that has this machine's network, or none: no address."""
    address = {"IPAddress": "", "Gateway": "", "MacAddress": ""}
    return {"Ports": {}, **address, "Networks": {mode: dict(address)}}


def _of_the_container(container: Container) -> Document:
    settings = container.settings
    return {
        "Hostname": settings.hostname,
        "Domainname": "",
        "AttachStdin": settings.stdin_open,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": settings.tty,
        "OpenStdin": settings.stdin_open,
        "StdinOnce": settings.stdin_open,
        "Image": container.image_name,
    }


def _state(container: Container) -> Document:
    return {
        "Status": container.status,
        "Running": container.is_up,
        "Paused": container.status == "paused",
        "Restarting": container.status == "restarting",
        "OOMKilled": container.error.startswith(OUT_OF_MEMORY),
        "Dead": False,
        "Pid": container.pid,
        "ExitCode": container.exit_code or 0,
        "Error": container.error,
        "StartedAt": format_time(container.started_at) if container.started_at else _NEVER,
        "FinishedAt": format_time(container.finished_at) if container.finished_at else _NEVER,
        **_health(container),
    }


def _health(container: Container) -> Document:
    found = container.health
    if found is None:
        return {}
    log = [
        {
            "Start": format_time(each.start),
            "End": format_time(each.end),
            "ExitCode": each.exit_code,
            "Output": each.output,
        }
        for each in found.log
    ]
    return {"Health": {"Status": found.status, "FailingStreak": found.failing_streak, "Log": log}}
