"""Read-only mounts that live once for all their users, in a mount namespace where nobody lives.

    <folder>/          bound onto itself and private: a namespace's file can be kept nowhere else
      ns               the namespace, kept by a bind mount of its file (nsfs)
      guard            taken alone while anything here is looked up, made or undone
      hold             held shared by every user: a container's processes, an open driver

In the namespace there is nothing but a tmpfs with a directory per mount. A user enters it on a
private thread, attaches what is missing, and takes detached clones out (open_tree(2)), which
share super block and page cache. Who comes last takes all of it down with one unmount.

Knows nothing of what is mounted. Does not outlive a reboot, and need not.
"""

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from lamina.errors import LockHeld
from lamina.fs.atomic import unlink_if_there
from lamina.fs.locks import FileLock, Rank
from lamina.fs.private import enter_private_namespace, on_private_thread
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, setns, unshare
from lamina.kernel.statfs import NSFS, magic

T = TypeVar("T")
_OURS = "/proc/self/ns/mnt"  # of the process: a private thread may be somewhere else


class Wanted(NamedTuple):
    """A mount by name, and how to make it (detached) when nobody has yet.

    What of the name stands before the first dot says what it is of: another mount of the same
    is out of date.
    """

    name: str
    make: Callable[[], int]


def hold_path(folder: str) -> str:
    """The lock file that users hold shared."""
    return os.path.join(folder, "hold")


def borrow(folder: str, wanted: list[Wanted]) -> list[int]:
    """A detached clone of each mount, made and attached in the namespace where it is missing.

    Where no such namespace can be had, each is made for this user alone. Raises OSError.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with FileLock(os.path.join(folder, "guard"), Rank.MOUNTS).exclusive():
        try:
            namespace = _in_our_namespace(lambda: _open(folder) or _make(folder))
        except OSError:
            return _all_or_none(each.make for each in wanted)
        try:
            return _clones(namespace, wanted)
        finally:
            os.close(namespace)


def _clones(namespace: int, wanted: list[Wanted]) -> list[int]:
    names = [each.name for each in wanted]
    makers = {each.name: each.make for each in wanted}
    missing = _inside(namespace, lambda: _missing(names))
    made = _all_or_none(makers[name] for name in missing)
    try:
        return _inside(namespace, lambda: _attach_and_clone(missing, made, names))
    finally:
        _close(made)


def _missing(names: list[str]) -> list[str]:
    """Those not mounted here, once each; what is out of date is taken away."""
    here = os.listdir("/")
    of = {name.partition(".")[0]: name for name in names}
    for name in here:
        if of.get(name.partition(".")[0], name) != name:
            _detach(name)
    root = os.stat("/").st_dev
    present = {name for name in here if name in names and os.stat(f"/{name}").st_dev != root}
    return [name for name in dict.fromkeys(names) if name not in present]


def _attach_and_clone(missing: list[str], made: list[int], names: list[str]) -> list[int]:
    for name, descriptor in zip(missing, made, strict=True):
        os.makedirs(f"/{name}", mode=0o700, exist_ok=True)
        kernel.move_mount(descriptor, f"/{name}")
    return _all_or_none(_cloner(name) for name in names)


def _cloner(name: str) -> Callable[[], int]:
    return lambda: kernel.open_tree_clone(f"/{name}")


def _detach(name: str) -> None:
    try:
        kernel.umount(f"/{name}")
    except OSError:
        pass  # killed between its directory and its mount
    os.rmdir(f"/{name}")


def refusal(folder: str) -> str:
    """Why mounts cannot be shared at `folder`, in the kernel's words; empty where they can."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with FileLock(os.path.join(folder, "guard"), Rank.MOUNTS).exclusive():
        try:
            os.close(_in_our_namespace(lambda: _open(folder) or _make(folder)))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def drop(folder: str, of: str) -> None:
    """Unmount whatever is mounted of `of`, so that its files are free; nothing when nothing is."""
    if not os.path.exists(os.path.join(folder, "ns")):
        return
    with FileLock(os.path.join(folder, "guard"), Rank.MOUNTS).exclusive():
        namespace = _in_our_namespace(lambda: _open(folder))
        if namespace is None:
            return
        try:
            _inside(namespace, lambda: _drop(of))
        finally:
            os.close(namespace)


def _drop(of: str) -> None:
    for name in os.listdir("/"):
        if name.partition(".")[0] == of:
            _detach(name)


def dissolve(folder: str) -> None:
    """Take everything down, unless somebody holds it; raises OSError."""
    if not os.path.exists(os.path.join(folder, "ns")):
        return
    try:
        with (
            FileLock(hold_path(folder), Rank.LEASE).exclusive(timeout=0),
            FileLock(os.path.join(folder, "guard"), Rank.MOUNTS).exclusive(),
        ):
            _in_our_namespace(lambda: _unpin(folder))
    except LockHeld:
        pass


def _unpin(folder: str) -> None:
    if _is_pinned(folder):
        kernel.umount(os.path.join(folder, "ns"))
    for _ in range(_times_bound(folder)):
        kernel.umount(folder)
    unlink_if_there(os.path.join(folder, "ns"))  # else another one that was the last did it


# --- the namespace ----------------------------------------------------------------------------


def _in_our_namespace(work: Callable[[], T]) -> T:
    """Run `work` where this process is, even when the calling thread is somewhere else."""
    ours = os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _inside(ours, work)
    finally:
        os.close(ours)


def _inside(namespace: int, work: Callable[[], T]) -> T:
    def enter() -> T:
        unshare(CLONE_FS)
        setns(namespace, CLONE_NEWNS)
        return work()

    return on_private_thread(enter)


def _open(folder: str) -> int | None:
    """A descriptor of the namespace that is kept at `folder`."""
    if not _is_pinned(folder):
        return None
    return os.open(os.path.join(folder, "ns"), os.O_RDONLY | os.O_CLOEXEC)


def _is_pinned(folder: str) -> bool:
    try:
        return magic(os.path.join(folder, "ns")) == NSFS
    except FileNotFoundError:
        return False


def _times_bound(folder: str) -> int:
    from lamina.kernel import mountinfo

    path = os.fsencode(os.path.realpath(folder))
    return sum(1 for entry in mountinfo.mounts() if entry.target == path)


def _make(folder: str) -> int:
    """Make the namespace and keep it at `folder`; gives a descriptor of it."""
    path = os.path.join(folder, "ns")  # first of all: `dissolve` looks for it
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if not _times_bound(folder):
        kernel.mount(folder, folder, "", kernel.MS_BIND)
    kernel.mount("none", folder, "", kernel.MS_PRIVATE)
    try:
        return _kept(folder, path)
    except BaseException:
        _unpin(folder)
        raise


def _kept(folder: str, path: str) -> int:
    """A new namespace, kept by its file's bind mount at `path`; gives a descriptor of it.

    The kernel refuses (EINVAL) to bind a namespace that is older than the one it is bound in
    (mnt_ns_loop() in fs/namespace.c). Since 6.18 age is a number of which each CPU gives out
    a store of its own: what the CPU makes that made ours is younger.
    """
    try:
        return _bound(on_private_thread(lambda: _new_namespace(folder)), path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        refused = error
    for cpu in range(os.cpu_count() or 1):
        with suppress(OSError):  # a CPU that is not ours to use, or not the right one either
            return _bound(on_private_thread(partial(_new_namespace, folder, {cpu})), path)
    raise refused


def _bound(namespace: int, path: str) -> int:
    try:
        kernel.mount(f"/proc/self/fd/{namespace}", path, "", kernel.MS_BIND)
    except BaseException:
        os.close(namespace)
        raise
    return namespace


def _new_namespace(folder: str, cpus: Iterable[int] = ()) -> int:
    """A mount namespace with nothing in it but an empty tmpfs; to be called on a thread of its own.

    Made on one of `cpus`, where given. Nothing of the host stays in it: it would be busy for as
    long as the namespace lives.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)
    enter_private_namespace()
    made = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.mount("tmpfs", folder, "tmpfs", 0, "size=1m,mode=700")
        os.chdir(folder)
        os.mkdir("old", 0o700)
        kernel.enter_new_root("old")
    except BaseException:
        os.close(made)
        raise
    return made


# --- descriptors ------------------------------------------------------------------------------


def _all_or_none(makers: Iterable[Callable[[], int]]) -> list[int]:
    opened: list[int] = []
    try:
        opened.extend(make() for make in makers)
    except BaseException:
        _close(opened)
        raise
    return opened


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
