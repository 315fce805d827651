"""What a chroot has mounted in it: /proc, /sys, a small /dev, and what is shown besides.

Everything is attached by descriptor beneath the root, in the calling thread's mount namespace.
"""

import os
import stat

from lamina.execution.devices import nodes_of
from lamina.execution.mountpoints import Point
from lamina.fs.inroot import Root
from lamina.fs.mounting import bind, open_empty
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import is_mapped
from lamina.runtime.bundle import DEVICES, TTY, BindMount, Node
from lamina.runtime.confinement import HOST
from lamina.runtime.process import Process
from lamina.runtime.tmpfs import split

_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_QUIET = kernel.MS_NOSUID | kernel.MS_NOEXEC | kernel.MS_NODEV


def mount_system(root: Root, path: str, process: Process) -> None:
    """Mount /proc, /sys and /dev in the root, which is at `path`; raises OSError."""
    bind("/proc", root, b"proc", recursive=True)
    _mount_sysfs(root, path, _QUIET if process.privileged else _QUIET | kernel.MS_RDONLY)
    dev = f"{path}/dev"
    flags = kernel.MS_NOSUID | (0 if process.privileged else kernel.MS_NODEV)
    kernel.mount("tmpfs", dev, "tmpfs", flags, "mode=755,size=65536k")
    _fill_dev(root, process.confinement.ipc)
    if process.privileged:
        _make_nodes(root, process)
    terminals = "newinstance,ptmxmode=0666,mode=0620"
    if is_mapped(0, TTY):
        terminals += f",gid={TTY}"
    kernel.mount("devpts", f"{dev}/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, terminals)
    _mount_shared_memory(root, f"{dev}/shm", process)


def _mount_shared_memory(root: Root, place: str, process: Process) -> None:
    confinement = process.confinement
    if confinement.ipc == HOST:
        bind("/dev/shm", root, b"dev/shm", recursive=True)
    elif confinement.ipc != "none":
        options = f"mode=1777,size={confinement.shm_size}"
        kernel.mount("tmpfs", place, "tmpfs", _QUIET, options)


def _mount_sysfs(root: Root, path: str, flags: int) -> None:
    try:
        kernel.mount("sysfs", f"{path}/sys", "sysfs", flags)
    except PermissionError:  # in a user namespace that has no network namespace of its own
        bind("/sys", root, b"sys", recursive=True, readonly=True)


def _fill_dev(root: Root, ipc: str) -> None:
    directory = root.open(b"dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in ("pts",) if ipc == "none" else ("pts", "shm"):
            os.mkdir(name, 0o755, dir_fd=directory)
        for link, target in _LINKS:
            os.symlink(target, link, dir_fd=directory)
        for device in DEVICES:
            if os.path.exists(f"/dev/{device}"):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(device, flags, dir_fd=directory))
                bind(f"/dev/{device}", root, f"dev/{device}".encode())
    finally:
        os.close(directory)


def _make_nodes(root: Root, process: Process) -> None:
    """All devices of the host, as far as they can be made."""
    for node in nodes_of(process):
        folder, _, name = os.fsencode(node.path).strip(b"/").rpartition(b"/")
        root.makedirs(folder)
        directory = root.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _make_node(root, directory, name, node)
        finally:
            os.close(directory)


def _make_node(root: Root, directory: int, name: bytes, node: Node) -> None:
    kind = stat.S_IFBLK if node.kind == "b" else stat.S_IFCHR
    try:
        os.mknod(name, kind, os.makedev(node.major, node.minor), dir_fd=directory)
    except PermissionError:  # a user namespace makes none: the host's own is shown
        os.close(
            os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
        )
        bind(node.path, root, os.fsencode(node.path).strip(b"/"))
        return
    os.chmod(name, node.mode, dir_fd=directory)
    os.chown(name, node.uid, node.gid, dir_fd=directory)


def mount_point(root: Root, point: Point) -> None:
    """Mount what is seen at one point; no device in it can be opened but the one it is."""
    if root.lstat(point.path) is None:  # it lies in what was mounted just now
        folder = point.path if point.is_directory else point.path.rpartition(b"/")[0]
        root.makedirs(folder)
        if not point.is_directory:
            os.close(root.open(point.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    mount = point.mount
    if isinstance(mount, BindMount):
        kept = 0 if mount.device else kernel.MOUNT_ATTR_NODEV
        bind(
            mount.source,
            root,
            point.path,
            recursive=mount.recursive,
            readonly=mount.readonly,
            attributes=kept,
        )
        return
    attributes, options = split(mount.options)
    made = open_empty(options, attributes)
    try:
        place = root.open(point.path, os.O_PATH)
        try:
            kernel.move_mount_to(made, place)
        finally:
            os.close(place)
    finally:
        os.close(made)


def make_readonly(path: str) -> None:
    """Let what is mounted at `path` be read-only to who goes there by name from now on.

    It is put over itself: who has the root open can still take back what was made in it.
    """
    made = kernel.open_tree_clone(path, recursive=True)
    try:
        kernel.mount_setattr(made, kernel.MOUNT_ATTR_RDONLY)
        kernel.move_mount(made, path)
    finally:
        os.close(made)
