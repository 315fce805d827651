"""The files that a container gets from its host, and the mount points they need.

hosts, hostname and resolv.conf are written into the run directory and bound over the root's own.
A mount point that the image lacks is made by the runtime in the read-write layer; it is noted
before the start and taken away after the end, so that none of it is in the diff.
"""

import errno
import json
import os
import stat
from typing import NamedTuple

from lamina.fs.atomic import write_file
from lamina.fs.inroot import Root
from lamina.fs.tree import TreeView
from lamina.runtime.process import Process

_HOST_FILES = ("hosts", "resolv.conf", "hostname")
_MOUNT_POINTS = (b"proc", b"dev", b"sys")
_LOCAL_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class Stub(NamedTuple):
    """A mount point that is not in the image: its path, and whether it is a directory."""

    path: str
    is_directory: bool


def write_host_files(run_dir: str, process: Process, tree: TreeView) -> list[tuple[str, str]]:
    """Write the three files into `run_dir`; gives pairs of file and place in the container."""
    texts = {
        "hosts": _hosts(process),
        "resolv.conf": _resolv_conf(process),
        "hostname": f"{process.hostname}\n",
    }
    pairs = []
    for name in _HOST_FILES:
        path = os.path.join(run_dir, name)
        write_file(path, texts[name].encode(), mode=0o644)
        place = tree.resolve(b"etc/" + name.encode(), follow_last=True)
        pairs.append((path, "/" + os.fsdecode(place)))
    return pairs


def _hosts(process: Process) -> str:
    if process.network != "host":
        return _LOCAL_HOSTS
    return _read("/etc/hosts") or _LOCAL_HOSTS


def _resolv_conf(process: Process) -> str:
    return _read("/etc/resolv.conf") if process.network == "host" else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def missing_mount_points(
    tree: TreeView, files: list[tuple[str, str]], process: Process
) -> list[Stub]:
    """What the runtime will have to make in the root, parents first."""
    wanted = [(point, True) for point in _MOUNT_POINTS]
    wanted += [(os.fsencode(target).strip(b"/"), False) for _, target in files]
    for volume in process.volumes:
        target = tree.resolve(os.fsencode(volume.target).strip(b"/"), follow_last=True)
        wanted.append((target, os.path.isdir(volume.source)))
    found: dict[bytes, bool] = {}
    for path, is_directory in wanted:
        parts = path.split(b"/")
        for end in range(1, len(parts) + 1):
            part = b"/".join(parts[:end])
            if tree.lstat(part) is None:
                found.setdefault(part, end < len(parts) or is_directory)
    return [Stub(os.fsdecode(path), folder) for path, folder in sorted(found.items())]


def note_stubs(run_dir: str, stubs: list[Stub]) -> None:
    """Write down what is to be taken away, also should this process be killed."""
    if stubs:
        write_file(os.path.join(run_dir, "stubs"), json.dumps(stubs).encode())


def sweep_stubs(run_dir: str, upper: str) -> None:
    """Take the noted mount points away from the layer's writable directory, if still empty."""
    try:
        with open(os.path.join(run_dir, "stubs"), "rb") as file:
            stubs = [Stub(*fields) for fields in json.loads(file.read())]
    except (FileNotFoundError, ValueError):
        return
    with Root.at(upper) as root:
        for stub in reversed(stubs):
            _take_away(root, stub)
    os.unlink(os.path.join(run_dir, "stubs"))


def _take_away(root: Root, stub: Stub) -> None:
    try:
        directory, name = root.parent(os.fsencode(stub.path))
    except OSError:
        return
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stub.is_directory and stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=directory)
        elif not stub.is_directory and stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        os.close(directory)
