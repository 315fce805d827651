"""Mount steps as values, and their one interpreter.

A driver says what is to be mounted (`MountPlan`); here it is done: attached in the calling
thread's mount namespace, or detached and reachable by a descriptor alone. The new mount API is
tried first, by descriptor, then by name, then with one `lowerdir=`; mount(2) comes last, because
it cuts options that are longer than a page and may then mount the wrong layers.
"""

import errno
import os
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from lamina.errors import StorageError, from_oserror
from lamina.fs.inroot import Root
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, unshare

T = TypeVar("T")
LOWER_LIMIT = 500  # fs/overlayfs/params.h, OVL_MAX_STACK
_NAME_LIMIT = 255  # fsconfig(2) takes strings up to this many bytes
_FIXED = ("index=off", "redirect_dir=off", "metacopy=off")
_UNKNOWN_OPTION = (errno.EINVAL, errno.EOPNOTSUPP)


class Bind(NamedTuple):
    """A directory as it is."""

    source: str
    readonly: bool


class Overlay(NamedTuple):
    """Directories united, `lowers` topmost first; read-only without `upper` and `work`."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    options: tuple[str, ...]


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
            _attach_overlay(plan.root, target)
    except OSError as error:
        raise from_oserror(error, "mounting", target) from error


def open_detached(plan: MountPlan) -> int:
    """A descriptor of the mounted tree; it is in no mount table and gone when closed.

    Needs the new mount API for an overlay; raises OSError.
    """
    if isinstance(plan.root, Bind):
        return os.open(plan.root.source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    made = _make_overlay(plan.root)
    try:
        return os.open(f"/proc/self/fd/{made}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(made)


def _attach_bind(bind: Bind, target: str) -> None:
    kernel.mount(bind.source, target, "", kernel.MS_BIND)
    if bind.readonly:
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount(bind.source, target, "", flags)


def _attach_overlay(overlay: Overlay, target: str) -> None:
    try:
        made = _make_overlay(overlay)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        _attach_classic(overlay, target)
        return
    try:
        kernel.move_mount(made, target)
    finally:
        os.close(made)


def _make_overlay(overlay: Overlay) -> int:
    """A detached overlay, by the first way of naming the lowers that this kernel knows."""
    if len(overlay.lowers) > LOWER_LIMIT:
        raise StorageError(
            f"{len(overlay.lowers)} layers are more than the {LOWER_LIMIT} that overlayfs unites",
            hint="squash the image",
        )
    refusal: OSError | None = None
    for name_lowers in (_by_descriptor, _by_name, _by_one_option):
        try:
            return _configure(overlay, name_lowers)
        except _NotThisWay as error:
            refusal = error.cause
    assert refusal is not None
    raise refusal


class _NotThisWay(Exception):
    """The kernel does not know this way of naming lower directories."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def _configure(overlay: Overlay, name_lowers: Callable[[int, Overlay], None]) -> int:
    context = kernel.fsopen("overlay")
    try:
        kernel.fsconfig_string(context, "source", "overlay")
        name_lowers(context, overlay)
        _set_options(context, (*_FIXED, *overlay.options))
        kernel.fsconfig_create(context)
        attributes = kernel.MOUNT_ATTR_RDONLY if overlay.upper is None else 0
        return kernel.fsmount(context, attributes)
    finally:
        os.close(context)


def _by_descriptor(context: int, overlay: Overlay) -> None:
    opened: list[int] = []
    try:
        for key, path in _directories(overlay):
            opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            _try(kernel.fsconfig_fd, context, key, opened[-1])
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _directories(overlay: Overlay) -> list[tuple[str, str]]:
    pairs = [("lowerdir+", path) for path in overlay.lowers]
    if overlay.upper is not None and overlay.work is not None:
        pairs += [("upperdir", overlay.upper), ("workdir", overlay.work)]
    return pairs


def _by_name(context: int, overlay: Overlay) -> None:
    for key, path in _directories(overlay):
        _try(kernel.fsconfig_string, context, key, path)


def _by_one_option(context: int, overlay: Overlay) -> None:
    lowers = ":".join(_escaped(path) for path in overlay.lowers)
    _try(kernel.fsconfig_string, context, "lowerdir", lowers)
    if overlay.upper is not None and overlay.work is not None:
        _try(kernel.fsconfig_string, context, "upperdir", overlay.upper)
        _try(kernel.fsconfig_string, context, "workdir", overlay.work)


def _try(call: Callable[[int, str, T], None], context: int, key: str, value: T) -> None:
    try:
        call(context, key, value)
    except OSError as error:
        if error.errno in _UNKNOWN_OPTION:
            raise _NotThisWay(error) from error
        raise


def _set_options(context: int, options: tuple[str, ...]) -> None:
    for option in options:
        key, _, value = option.partition("=")
        try:
            kernel.fsconfig_string(context, key, value)
        except OSError as error:
            if error.errno not in _UNKNOWN_OPTION or option not in _FIXED:
                raise  # a kernel without the feature has nothing to switch off


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _attach_classic(overlay: Overlay, target: str) -> None:
    """mount(2), with the lowers named relative to their common directory to stay short."""
    base = os.path.commonpath(overlay.lowers) if len(overlay.lowers) > 1 else "/"
    lowers = ":".join(_escaped(os.path.relpath(path, base)) for path in overlay.lowers)
    options = [f"lowerdir={lowers}"]
    if overlay.upper is not None and overlay.work is not None:
        options += [f"upperdir={_escaped(overlay.upper)}", f"workdir={_escaped(overlay.work)}"]
    text = ",".join([*options, *overlay.options])
    flags = kernel.MS_RDONLY if overlay.upper is None else 0

    def mount_from_base() -> None:
        unshare(CLONE_FS)
        os.chdir(base)
        kernel.mount("overlay", target, "overlay", flags, text)

    on_private_thread(mount_from_base)


def enter_private_namespace() -> None:
    """Give the calling thread a mount namespace of its own, apart from its caller's for good."""
    unshare(CLONE_FS | CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


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


def in_private_namespace(work: Callable[[], T]) -> T:
    """Run `work` on a fresh thread with a mount namespace of its own; the caller has none.

    What it mounts is seen by it and by the processes that it starts, and is gone with the last
    of them, however they end. Its exception is raised here. Raises OSError where namespaces
    are not allowed.
    """

    def enter() -> T:
        enter_private_namespace()
        return work()

    return on_private_thread(enter)


def on_private_thread(work: Callable[[], T]) -> T:
    """Run `work` on a thread that ends with it, so that nothing it changes of itself stays."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="lamina-private", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
