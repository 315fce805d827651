"""Mount steps as values, and their one interpreter.

A driver says what is to be mounted (`MountPlan`); here it is done: attached in the calling
thread's mount namespace, or detached and reachable by a descriptor alone. Nothing here touches
the caller's own namespace unless the caller's thread calls `attach` in it.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

from lamina.errors import StorageError, from_oserror
from lamina.fs.erofs import Erofs, Shared, open_images
from lamina.fs.inroot import Root
from lamina.fs.locks import hold_shared
from lamina.fs.overlay import DESCRIPTORS, LOWER_LIMIT, WAYS, Overlay, attach_overlay, open_overlay
from lamina.fs.private import enter_private_namespace, in_private_namespace, on_private_thread
from lamina.kernel import mount as kernel

__all__ = [
    "LOWERS",
    "LOWER_LIMIT",
    "Bind",
    "Erofs",
    "Fuse",
    "Limited",
    "MountPlan",
    "Overlay",
    "Shared",
    "Stacked",
    "attach",
    "bind",
    "cover",
    "detached",
    "enter_private_namespace",
    "in_private_namespace",
    "on_private_thread",
    "open_detached",
    "open_empty",
    "refuse_devices",
    "take_holds",
]


T = TypeVar("T")

# what a bind takes over from the mount below, and a remount would drop (ST_* equal MS_* here)
_KEPT = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BY_NAME = tuple(way for way in WAYS if way != DESCRIPTORS)
_UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)


class Bind(NamedTuple):
    """A directory as it is."""

    source: str
    readonly: bool


class Fuse(NamedTuple):
    """What a program in user space serves (lamina.fs.fuse); `program` is its absolute path."""

    program: str
    options: tuple[str, ...]
    readonly: bool


class Stacked(NamedTuple):
    """EROFS images and directories united by overlayfs, `lowers` topmost first."""

    lowers: tuple[Erofs | str, ...]
    upper: str | None
    work: str | None


class Limited(NamedTuple):
    """`lowers` united with an upper directory in a file system of its own (lamina.fs.limited).

    `place` is an empty directory: older kernels can use what is in the file only where it has a
    name.
    """

    lowers: tuple[Erofs | str, ...]
    image: str
    place: str


class MountsItself(Protocol):
    """What few need, and brings its own way of mounting (`lamina.fs.thin`)."""

    def mount(self) -> int:
        """A detached mount of it; raises OSError."""

    def text(self) -> str:
        """What to find it by again."""


Known = Bind | Overlay | Fuse | Erofs | Stacked | Limited


class MountPlan(NamedTuple):
    """What a tree is mounted from; `holds` are lock files to be held shared while it is mounted.

    Who takes one of them alone knows that nobody uses the mount: that, and never the mount table,
    says what is in use.
    """

    root: Known | MountsItself
    holds: tuple[str, ...] = ()


LOWERS = LOWER_LIMIT - 20  # how many a layer stands on at most: room for what is put on top
_PATIENCE = 10.0  # seconds for whoever takes something away to be done with it


def attach(plan: MountPlan, target: str) -> None:
    """Mount at `target` in the calling thread's mount namespace; raises `StorageError`.

    Whoever calls sees to the plan's locks (see `take_holds`).
    """
    try:
        if isinstance(plan.root, Bind):
            _attach_bind(plan.root, target)
        elif isinstance(plan.root, Overlay):
            attach_overlay(plan.root, target)
        elif isinstance(plan.root, Erofs):
            _attach_image(plan.root, target)
        elif isinstance(plan.root, Limited):
            _over_limited(plan.root, lambda stacked: _attach_stacked(stacked, target))
        elif isinstance(plan.root, Stacked):
            _attach_stacked(plan.root, target)
        else:
            _attach_made(plan.root, target)
    except OSError as error:
        raise _refusal(error, target) from error


def take_holds(plan: MountPlan) -> list[int]:
    """Descriptors that hold the plan's locks until the last copy of each is closed.

    Raises `LockHeld` for what is being taken away, or OSError.
    """
    taken: list[int] = []
    try:
        for path in plan.holds:
            taken.append(hold_shared(path, _PATIENCE))  # noqa: PERF401 - closed if one fails
    except BaseException:
        for descriptor in taken:
            os.close(descriptor)
        raise
    return taken


@contextmanager
def detached(plan: MountPlan) -> Iterator[int]:
    """The mounted tree by a descriptor, its locks held, for the block's time.

    Raises OSError in the kernel's words, `LockHeld`, or `StorageError`.
    """
    descriptors = take_holds(plan)
    try:
        descriptors.append(open_detached(plan))
        yield descriptors[-1]
    finally:
        for descriptor in reversed(descriptors):  # the tree before what protects it
            os.close(descriptor)


def open_detached(plan: MountPlan) -> int:
    """A descriptor of the mounted tree; it is in no mount table and gone when closed.

    Whoever calls sees to the plan's locks (see `detached`).

    Raises OSError in the kernel's words, or `StorageError` for what no kernel would unite.
    """
    if isinstance(plan.root, Bind):
        return os.open(plan.root.source, _DIRECTORY)
    if isinstance(plan.root, Overlay):
        return open_overlay(plan.root)
    if isinstance(plan.root, Erofs):
        return open_trees((plan.root,))[0]
    if isinstance(plan.root, Limited):
        limited = plan.root
        return in_private_namespace(lambda: _over_limited(limited, _open_stacked))
    if isinstance(plan.root, Stacked):
        return _open_stacked(plan.root)
    return _open_made(plan.root)


def open_trees(steps: tuple[Erofs | str, ...]) -> list[int]:
    """The root of each image or directory, opened for reading; raises OSError."""
    mounted = open_images([step for step in steps if isinstance(step, Erofs)])
    images = iter(mounted)
    opened: list[int] = []
    try:
        for step in steps:
            path = step if isinstance(step, str) else f"/proc/self/fd/{next(images)}"
            opened.append(os.open(path, _DIRECTORY))
    except BaseException:
        _close(opened)
        raise
    finally:
        _close(mounted)
    return opened


# --- images -----------------------------------------------------------------------------------


def _attach_image(step: Erofs, target: str) -> None:
    (mounted,) = open_images([step])
    try:
        kernel.move_mount(mounted, target)
    finally:
        os.close(mounted)


def _attach_stacked(stacked: Stacked, target: str) -> None:
    images = [step for step in stacked.lowers if isinstance(step, Erofs)]
    mounted = open_images(images)
    try:
        try:
            attach_overlay(_over_descriptors(stacked, mounted), target, (DESCRIPTORS,))
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            _attach_all(images, mounted)
            attach_overlay(_over_places(stacked), target, _BY_NAME)
    finally:
        _close(mounted)


def _open_stacked(stacked: Stacked) -> int:
    images = [step for step in stacked.lowers if isinstance(step, Erofs)]
    mounted = open_images(images)

    def by_name() -> int:
        _attach_all(images, mounted)
        return open_overlay(_over_places(stacked), _BY_NAME)

    try:
        try:
            return open_overlay(_over_descriptors(stacked, mounted), (DESCRIPTORS,))
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            return in_private_namespace(by_name)
    finally:
        _close(mounted)


def _over_limited(limited: Limited, make: Callable[[Stacked], T]) -> T:
    """Make the union with what is in the file named by its descriptor, or else by its place."""
    from lamina.fs.limited import mount  # few need it

    mounted = mount(limited.image)
    try:
        try:
            return make(_in(limited, f"/proc/self/fd/{mounted}"))
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            kernel.move_mount(mounted, limited.place)
            return make(_in(limited, limited.place))
    finally:
        os.close(mounted)


def _in(limited: Limited, folder: str) -> Stacked:
    return Stacked(limited.lowers, f"{folder}/upper", f"{folder}/work")


def _over_descriptors(stacked: Stacked, mounted: list[int]) -> Overlay:
    """The union with each image named by the descriptor of its detached mount."""
    images = iter(mounted)
    lowers = [
        step if isinstance(step, str) else f"/proc/self/fd/{next(images)}"
        for step in stacked.lowers
    ]
    return Overlay(tuple(lowers), stacked.upper, stacked.work, ())


def _over_places(stacked: Stacked) -> Overlay:
    """The union with each image named by its place, where it is attached."""
    lowers = [step if isinstance(step, str) else step.place for step in stacked.lowers]
    return Overlay(tuple(lowers), stacked.upper, stacked.work, ())


def _attach_all(images: list[Erofs], mounted: list[int]) -> None:
    """Attach in the calling thread's namespace: before Linux 6.13 a lower needs a name there."""
    for step, descriptor in zip(images, mounted, strict=True):
        kernel.move_mount(descriptor, step.place)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


# --- directories ------------------------------------------------------------------------------


def _attach_bind(bind: Bind, target: str) -> None:
    os.stat(bind.source)  # a missing source would read as a missing target
    kernel.mount(bind.source, target, "", kernel.MS_BIND)
    if bind.readonly:
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount(bind.source, target, "", flags | os.statvfs(target).f_flag & _KEPT)


def _make(step: Fuse | MountsItself) -> int:
    if not isinstance(step, Fuse):
        return step.mount()
    from lamina.fs.fuse import mount_fuse  # few need it

    return mount_fuse(step.program, step.options, readonly=step.readonly)


def _attach_made(step: Fuse | MountsItself, target: str) -> None:
    made = _make(step)
    try:
        kernel.move_mount(made, target)
    finally:
        os.close(made)


def _open_made(step: Fuse | MountsItself) -> int:
    made = _make(step)
    try:
        return os.open(f"/proc/self/fd/{made}", _DIRECTORY)
    finally:
        os.close(made)


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


def refuse_devices(root: int, path: str) -> None:
    """Let no device node in the mounted root be opened: nothing else guards the host's disks."""
    try:
        kernel.mount_setattr(root, kernel.MOUNT_ATTR_NODEV)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NODEV
        if os.fstatvfs(root).f_flag & os.ST_RDONLY:
            flags |= kernel.MS_RDONLY
        kernel.mount("none", path, "", flags)


def open_empty(options: Iterable[tuple[str, str]], attributes: int = 0) -> int:
    """A descriptor of a detached, empty file system in memory; raises OSError."""
    context = kernel.fsopen("tmpfs")
    try:
        for key, value in options:
            kernel.fsconfig_string(context, key, value)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, attributes)
    finally:
        os.close(context)


def cover(directory: str) -> None:
    """Hide what is mounted at a directory behind an empty file system."""
    kernel.mount("tmpfs", directory, "tmpfs", 0, "size=4k,mode=555")


def bind(
    source: str,
    root: Root,
    target: bytes,
    *,
    recursive: bool = False,
    readonly: bool = False,
    attributes: int = 0,
) -> None:
    """Show `source` at `target`, resolved inside `root`, with MOUNT_ATTR_*; raises OSError."""
    place = root.open(target, os.O_PATH)
    try:
        made = kernel.open_tree_clone(source, recursive=recursive)
        try:
            if readonly:
                attributes |= kernel.MOUNT_ATTR_RDONLY
            if attributes:
                kernel.mount_setattr(made, attributes, recursive=recursive)
            kernel.move_mount_to(made, place)
        finally:
            os.close(made)
    finally:
        os.close(place)
