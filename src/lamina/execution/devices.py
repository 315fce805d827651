"""Devices of this machine that a container is shown, looked at when it starts."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from lamina.errors import RuntimeFailure
from lamina.runtime.bundle import DEVICES, Node
from lamina.runtime.confinement import Device
from lamina.runtime.process import Process, Volume

_OWN = frozenset(  # what every container's /dev has of its own
    (
        *("pts", "ptmx", "shm", "mqueue", "console", "core"),
        *("fd", "stdin", "stdout", "stderr", *DEVICES),
    )
)


def shown(process: Process) -> tuple[Volume, ...]:
    """Each device as something to mount; those in a directory one by one.

    A privileged process has all in their own places anyhow. Raises `RuntimeFailure` for what is
    not there, or no device.
    """
    found = (
        Volume(source, device.target + source[len(device.source) :], False)
        for device in process.confinement.devices
        for source in _found(device)
    )
    return tuple(each for each in found if not process.privileged or each.source != each.target)


def nodes_of(process: Process) -> tuple[Node, ...]:
    """What the process may open besides the usual: all of /dev when privileged."""
    if process.privileged:
        taken = {volume.target for volume in shown(process)}
        return tuple(node for node in map(_node, _walk("/dev")) if node.path not in taken)
    return tuple(
        _node(path)._replace(access=device.access)
        for device in process.confinement.devices
        for path in _found(device)
    )


def _found(device: Device) -> list[str]:
    try:
        mode = os.stat(device.source).st_mode
    except OSError as error:
        raise RuntimeFailure(f"the device {device.source}: {error.strerror}") from error
    found = list(_walk(device.source)) if stat.S_ISDIR(mode) else [device.source]
    if not found or not (stat.S_ISDIR(mode) or _is_device(mode)):
        raise RuntimeFailure(
            f"{device.source} is no device", hint="show files and directories with --volume"
        )
    return found


def _walk(folder: str) -> Iterator[str]:
    """Device nodes below a directory, those that every container has of its own left out."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda each: each.name)
    for entry in found:
        if folder == "/dev" and entry.name in _OWN:
            continue
        with suppress(FileNotFoundError):  # devices come and go
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif _is_device(entry.stat(follow_symlinks=False).st_mode):
                yield entry.path


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _node(path: str) -> Node:
    status = os.stat(path)
    return Node(
        path,
        "b" if stat.S_ISBLK(status.st_mode) else "c",
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
    )
