"""What a start shows besides the root and its volumes: other trees, files in memory, empty space.

Attached in the start's private mount namespace only, below one tmpfs: so nothing of it is in the
host's mount table, on its disks, or left when everything is killed. A path within a tree is
opened beneath that tree and pinned before a runtime hears of it: whoever else writes to the tree
meanwhile cannot make it lead elsewhere (CVE-2024-23651).
"""

import os
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from lamina.fs.atomic import write_all
from lamina.fs.inroot import Root
from lamina.fs.mounting import MountPlan, attach, refuse_devices
from lamina.kernel import mount as kernel

_FOLDER = "extras"


class Tree(NamedTuple):
    """`path` of a tree (no link in it; empty: all of it) seen at `target`, an absolute path."""

    plan: MountPlan
    path: bytes
    is_directory: bool
    target: str
    readonly: bool


class File(NamedTuple):
    """A file that lies on no disk, read-only at `target`."""

    data: bytes
    mode: int
    uid: int
    gid: int
    target: str


class Scratch(NamedTuple):
    """An empty file system in memory, of at most `size` bytes (None: the kernel's default)."""

    size: int | None
    readonly: bool
    target: str


Extra: TypeAlias = Tree | File | Scratch


def place_of(folder: str) -> str:
    """Where extras are attached for the start whose folder that is."""
    return os.path.join(folder, _FOLDER)


def source_of(folder: str, number: int, extra: Tree | File) -> str:
    """The path at which the extra of that number is found once it is attached."""
    pinned = isinstance(extra, Tree) and extra.path
    return os.path.join(place_of(folder), f"{number}.pinned" if pinned else str(number))


def attach_extras(extras: Sequence[Extra], folder: str) -> None:
    """Attach all in the calling thread's mount namespace; raises OSError or `StorageError`."""
    place = place_of(folder)
    os.makedirs(place, mode=0o700, exist_ok=True)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", place, "tmpfs", flags, "mode=700")
    for number, extra in enumerate(extras):
        path = os.path.join(place, str(number))
        if isinstance(extra, File):
            _write(path, extra)
        elif isinstance(extra, Tree):
            os.mkdir(path)
            _attach(path, extra, source_of(folder, number, extra))


def _write(path: str, file: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, file.data)
        os.fchown(descriptor, file.uid, file.gid)
        os.fchmod(descriptor, file.mode)
    finally:
        os.close(descriptor)


def _attach(whole: str, tree: Tree, place: str) -> None:
    """The tree, no device of it to be opened; and, pinned at `place`, the path in it."""
    attach(tree.plan, whole)
    root = Root.at(whole)
    try:
        refuse_devices(root.fd, whole)
        if tree.path:
            _pin(root, tree, place)
    finally:
        root.close()


def _pin(root: Root, tree: Tree, place: str) -> None:
    found = root.open(tree.path, os.O_PATH)
    try:
        made = kernel.open_tree_clone(f"/proc/self/fd/{found}", recursive=True)
    finally:
        os.close(found)
    try:
        if tree.is_directory:
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        kernel.move_mount(made, place)
    finally:
        os.close(made)
