"""Where in a root things are to be mounted, with every link resolved inside it beforehand.

An image decides what its /etc, /proc or /dev are: a link in their place would let a mount land
somewhere else (CVE-2019-19921, CVE-2021-30465, CVE-2026-41579), so system mount points must be
directories, and the runtimes are handed paths in which nothing is left to follow.
"""

import os
import stat
from typing import NamedTuple

from lamina.errors import RuntimeFailure, UsageError, hint_of
from lamina.execution.extras import Extra, File, Scratch, Tree, source_of
from lamina.execution.traces import Traces
from lamina.fs.tree import TreeView, resolve
from lamina.runtime.bundle import BindMount, TmpfsMount
from lamina.runtime.hostfiles import NAMES
from lamina.runtime.process import Tmpfs, Volume
from lamina.runtime.tmpfs import merged

SYSTEM = (b"proc", b"sys", b"dev")


class Point(NamedTuple):
    """One mount point: what is seen there, and whether the root has it already."""

    mount: BindMount | TmpfsMount
    path: bytes
    is_directory: bool
    exists: bool


def system_points(tree: TreeView) -> list[bytes]:
    """Those of /proc, /sys and /dev that are missing; raises `RuntimeFailure` for no directory."""
    missing = []
    for path in SYSTEM:
        status = tree.lstat(path)
        if status is None:
            missing.append(path)
        elif not stat.S_ISDIR(status.st_mode):
            raise RuntimeFailure(
                f"/{path.decode()} of the image is no directory but {_kind(status)}",
                hint="the container would see something else there; repair the image",
            )
    return missing


def file_points(tree: TreeView, folder: str, *, readonly: bool) -> list[Point]:
    """Where /etc/hosts and its like are, for the files of these names in `folder`."""
    places = ((os.path.join(folder, name), f"/etc/{name}") for name in NAMES)
    return [file_point(tree, source, target, readonly=readonly) for source, target in places]


def file_point(tree: TreeView, source: str, target: str, *, readonly: bool) -> Point:
    """Where one file goes; raises `RuntimeFailure`."""
    path = _resolved(tree, target)
    if _under(path, SYSTEM):
        raise RuntimeFailure(f"{target} of the image leads into /{os.fsdecode(path)}")
    status = tree.lstat(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise RuntimeFailure(f"{target} of the image is no file but {_kind(status)}")
    bind = BindMount(source, "/" + os.fsdecode(path), readonly, recursive=False)
    return Point(bind, path, False, status is not None)


def tmpfs_points(tree: TreeView, wanted: tuple[Tmpfs, ...]) -> list[Point]:
    """Where tmpfs go, each with the mode of the directory it covers; raises as the others."""
    return [_tmpfs_point(tree, each) for each in wanted]


def _tmpfs_point(tree: TreeView, tmpfs: Tmpfs) -> Point:
    path = _resolved(tree, tmpfs.target)
    if not path or _under(path, (b"proc",)):
        raise UsageError(f"a tmpfs cannot be mounted on /{os.fsdecode(path)}")
    status = _Seen(tree).lstat(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise RuntimeFailure(
            f"a tmpfs cannot be mounted on {tmpfs.target}: that is {_kind(status)} in the image"
        )
    mode = 0o1777 if status is None else stat.S_IMODE(status.st_mode)
    mount = TmpfsMount("/" + os.fsdecode(path), merged(tmpfs.options, mode))
    return Point(mount, path, True, status is not None)


def volume_points(
    tree: TreeView, volumes: tuple[Volume, ...], *, opens_devices: bool
) -> list[Point]:
    """Where volumes go; `opens_devices` also in directories. `UsageError` or `RuntimeFailure`."""
    return [_volume_point(tree, volume, opens_devices) for volume in volumes]


def extra_points(tree: TreeView, extras: tuple[Extra, ...], folder: str) -> list[Point]:
    """Where extras go that are attached for the start whose folder that is; raises the same."""
    return [_extra_point(tree, extra, folder, number) for number, extra in enumerate(extras)]


def placed(points: list[Point]) -> list[Point]:
    """Parents first; what lies below another mount is made in what is mounted there."""
    covered: list[bytes] = [b"dev", b"sys"]
    found = []
    for point in sorted(points, key=lambda point: point.path.count(b"/")):
        found.append(point._replace(exists=point.exists or _under(point.path, tuple(covered))))
        covered.append(point.path)
    return found


def _extra_point(tree: TreeView, extra: Extra, folder: str, number: int) -> Point:
    path = _resolved(tree, extra.target)
    if not path or _under(path, (b"proc",)):
        raise UsageError(f"nothing can be mounted on /{os.fsdecode(path)}")
    status = _Seen(tree).lstat(path)
    is_directory = isinstance(extra, Scratch) or (isinstance(extra, Tree) and extra.is_directory)
    if status is not None and stat.S_ISDIR(status.st_mode) != is_directory:
        what = "a directory" if is_directory else "a file"
        raise RuntimeFailure(
            f"{what} cannot be mounted on {extra.target}: that is {_kind(status)} in the image"
        )
    target = "/" + os.fsdecode(path)
    if isinstance(extra, Scratch):
        size = () if extra.size is None else (f"size={extra.size}",)
        options = ("nosuid", "nodev", "ro" if extra.readonly else "rw", "mode=1777", *size)
        mount: BindMount | TmpfsMount = TmpfsMount(target, options)
    else:
        readonly = isinstance(extra, File) or extra.readonly
        source = source_of(folder, number, extra)
        mount = BindMount(source, target, readonly, recursive=is_directory)
    return Point(mount, path, is_directory, status is not None)


def _volume_point(tree: TreeView, volume: Volume, opens_devices: bool) -> Point:
    if not volume.source.startswith("/") or not volume.target.startswith("/"):
        raise UsageError(
            f"the volume {volume.source}:{volume.target} is not absolute",
            hint="begin both paths with a slash",
        )
    try:
        source = os.stat(volume.source)
    except OSError as error:
        raise RuntimeFailure(
            f"the volume's source {volume.source}: {error.strerror}", hint="make it first"
        ) from error
    path = _resolved(tree, volume.target)
    if not path or _under(path, (b"proc",)):
        raise UsageError(f"a volume cannot be mounted on /{os.fsdecode(path)}")
    status = _Seen(tree).lstat(path)
    is_directory = stat.S_ISDIR(source.st_mode)
    if status is not None and stat.S_ISDIR(status.st_mode) != is_directory:
        raise RuntimeFailure(
            f"the volume {volume.source} cannot be mounted on {volume.target}:"
            f" that is {_kind(status)}"
        )
    is_device = stat.S_ISCHR(source.st_mode) or stat.S_ISBLK(source.st_mode)
    device = opens_devices or is_device
    target = "/" + os.fsdecode(path)
    recursive = volume.recursive and is_directory
    bind = BindMount(volume.source, target, volume.readonly, device, recursive)
    return Point(bind, path, is_directory, status is not None)


def make(traces: Traces, system: list[bytes], points: list[Point]) -> None:
    """Make what the root lacks; raises OSError."""
    for path in system:
        traces.directory(path)
    for point in points:
        if point.exists:
            continue
        if point.is_directory:
            traces.directory(point.path, _mode(point))
        else:
            traces.empty_file(point.path)


def _mode(point: Point) -> int:
    """runc 1.1 gives a tmpfs the mode of the directory that it covers."""
    options = point.mount.options if isinstance(point.mount, TmpfsMount) else ()
    return next((int(each[5:], 8) for each in options if each.startswith("mode=")), 0o755)


class _Seen(NamedTuple):
    """The image as it is seen when all is mounted: nothing that it has in /dev and /sys."""

    tree: TreeView

    def lstat(self, path: bytes) -> os.stat_result | None:
        return None if path.startswith((b"dev/", b"sys/")) else self.tree.lstat(path)

    def readlink(self, path: bytes) -> bytes:
        return self.tree.readlink(path)


def _resolved(tree: TreeView, target: str) -> bytes:
    try:
        return resolve(_Seen(tree), os.fsencode(target), follow_last=True)
    except OSError as error:
        words = f"{target} of the image: {error.strerror}"
        raise RuntimeFailure(words, hint=hint_of(error)) from error


def _under(path: bytes, folders: tuple[bytes, ...]) -> bool:
    return any(path == folder or path.startswith(folder + b"/") for folder in folders)


def _kind(status: os.stat_result) -> str:
    names = {
        stat.S_IFDIR: "a directory",
        stat.S_IFREG: "a file",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return names.get(stat.S_IFMT(status.st_mode), "a device")
