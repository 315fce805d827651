"""Mount steps as values, and their one interpreter.

A driver says what is to be mounted (`MountPlan`); here it is done: attached in the calling
thread's mount namespace, or detached and reachable by a descriptor alone. Nothing here touches
the caller's own namespace unless the caller's thread calls `attach` in it.
"""

import errno
import os
from typing import NamedTuple

from lamina.errors import StorageError, from_oserror
from lamina.fs.inroot import Root
from lamina.fs.overlay import LOWER_LIMIT, Overlay, attach_overlay, open_overlay
from lamina.fs.private import enter_private_namespace, in_private_namespace, on_private_thread
from lamina.kernel import mount as kernel

__all__ = [
    "LOWER_LIMIT",
    "Bind",
    "MountPlan",
    "Overlay",
    "attach",
    "bind",
    "cover",
    "enter_private_namespace",
    "in_private_namespace",
    "on_private_thread",
    "open_detached",
]


# what a bind takes over from the mount below, and a remount would drop (ST_* equal MS_* here)
_KEPT = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


class Bind(NamedTuple):
    """A directory as it is."""

    source: str
    readonly: bool


class MountPlan(NamedTuple):
    """What a tree is mounted from; `hold` names a lock file to hold while it is mounted."""

    root: Bind | Overlay
    hold: str | None


def attach(plan: MountPlan, target: str) -> None:
    """Mount at `target` in the calling thread's mount namespace; raises `StorageError`."""
    try:
        if isinstance(plan.root, Bind):
            _attach_bind(plan.root, target)
        else:
            attach_overlay(plan.root, target)
    except OSError as error:
        raise _refusal(error, target) from error


def open_detached(plan: MountPlan) -> int:
    """A descriptor of the mounted tree; it is in no mount table and gone when closed.

    Raises OSError in the kernel's words, or `StorageError` for what no kernel would unite.
    """
    if isinstance(plan.root, Bind):
        return os.open(plan.root.source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return open_overlay(plan.root)


def _attach_bind(bind: Bind, target: str) -> None:
    os.stat(bind.source)  # a missing source would read as a missing target
    kernel.mount(bind.source, target, "", kernel.MS_BIND)
    if bind.readonly:
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount(bind.source, target, "", flags | os.statvfs(target).f_flag & _KEPT)


def _refusal(error: OSError, target: str) -> StorageError:
    """`mounting <target>: <what else it is about>: <the kernel's words>`."""
    about = error.filename
    words = error.strerror or str(error)
    if isinstance(about, str) and about.startswith("/") and about != target:
        words = f"{about}: {words}"
    refusal = from_oserror(OSError(error.errno, words), "mounting", target)
    if error.errno == errno.EINVAL and "(" not in words:
        refusal.hint = "the kernel's log (`dmesg`) may say why"
    return refusal


def cover(directory: str) -> None:
    """Hide what is mounted at a directory behind an empty file system."""
    kernel.mount("tmpfs", directory, "tmpfs", 0, "size=4k,mode=555")


def bind(
    source: str, root: Root, target: bytes, *, recursive: bool = False, readonly: bool = False
) -> None:
    """Show `source` at `target`, resolved inside `root`; raises OSError."""
    place = root.open(target, os.O_PATH)
    try:
        made = kernel.open_tree_clone(source, recursive=recursive)
        try:
            if readonly:
                kernel.mount_setattr(made, kernel.MOUNT_ATTR_RDONLY, recursive=recursive)
            kernel.move_mount_to(made, place)
        finally:
            os.close(made)
    finally:
        os.close(place)
