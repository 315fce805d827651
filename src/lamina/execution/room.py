"""The folder of one start, and everything that must be given up when it is over.

<run_dir>/<container id>/  0700
  rootfs/                  where the root is attached, in a private mount namespace only
  config.json              the bundle, or request.json for a chroot
  hosts hostname resolv.conf
  log                      what the runtime says of itself
  traces                   what was made in the root (see lamina.execution.traces)
  upper                    the directory in which that is found again, or the device to mount
  group                    that control groups were made in its name
  lock                     held by us and by what keeps the container alive

Who gets the lock knows that nothing of an earlier start is left running.
"""

import fcntl
import os
import time
from collections.abc import Callable

from lamina.errors import InUse, from_oserror
from lamina.execution.extras import Tree
from lamina.execution.job import Job
from lamina.execution.limiting import group_of, may_need_group
from lamina.execution.traces import JOURNAL, SAVED, Traces, recover
from lamina.fs import cgroups
from lamina.fs.atomic import write_all
from lamina.fs.inroot import Root
from lamina.fs.mounting import Known, MountPlan, detached, take_holds
from lamina.fs.remove import remove_tree
from lamina.kernel.mount import open_tree_clone
from lamina.runtime.hostfiles import contents

_PATIENCE = 10.0  # seconds for the kernel to end what a killed engine had started
_POLL = 0.01
_GLANCE = 0.5  # seconds: who sweeps comes again with the next command
_RUNTIMES = ("crun", "runc")  # folders of their own states, beside the rooms
_GROUP = "group"
_LASTING = ("rootfs", "lock", "upper", _GROUP, JOURNAL)
ID_DIGITS = 64  # of a container, which names its room; what else lies beside is not ours


class Room:
    """Made first and closed last; closing it leaves nothing of the start behind."""

    def __init__(self, job: Job, *, can_group: bool) -> None:
        """`can_group`: control groups hold the container, where any are needed.

        Raises `InUse` while a container of that ID lives, `RuntimeFailure` for limits that this
        machine cannot hold.
        """
        self.name = job.container_id
        self.folder = os.path.join(job.run_dir, job.container_id)
        self.root_path = os.path.join(self.folder, "rootfs")
        self._run_dir = job.run_dir
        self._upper = job.upper
        self._root: Root | None = None
        self._traces: Traces | None = None
        self.group: cgroups.Group | None = None
        self._locks = [_lock_alone(self.folder)]
        try:
            os.makedirs(self.root_path, mode=0o700, exist_ok=True)
            upper = _upper_of(job)
            _recover(self.folder, upper)
            _clear(self.folder)
            _remove_states(self._run_dir, self.name)
            self.write("upper", os.fsencode(upper), 0o600)
            for plan in _plans_of(job):
                self._locks += take_holds(plan)
        except BaseException:
            self._unlock()
            raise
        if can_group:
            self.group = self._make_group(job)

    def _make_group(self, job: Job) -> cgroups.Group | None:
        try:
            if not may_need_group(job.process):
                return None
            self.write(_GROUP, os.fsencode(job.process.group_parent), 0o600)
            return group_of(job.process, self.name)
        except BaseException:
            self.close()
            raise

    @property
    def locks(self) -> tuple[int, ...]:
        """Descriptors of what is held while anything of the container lives: to be handed on."""
        return tuple(self._locks)

    def enter(self, path: str, *, apart: bool = False) -> Traces:
        """Open the root, which stays reachable by this descriptor whoever unmounts it.

        `apart`: by a mount of its own, which shows nothing of what is mounted in the other.
        """
        self._root = Root(open_tree_clone(path)) if apart else Root.at(path)
        self._traces = Traces(self._root, self.folder)
        return self._traces

    @property
    def root(self) -> Root:
        """The opened root."""
        assert self._root is not None, "enter the room first"
        return self._root

    def path(self, name: str) -> str:
        """The path of a file in the folder."""
        return os.path.join(self.folder, name)

    def write(self, name: str, data: bytes, mode: int) -> str:
        """Write a file into the folder, its mode whatever the caller's umask; gives its path."""
        path = self.path(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, mode)
        try:
            os.fchmod(descriptor, mode)
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        return path

    def write_host_files(self, job: Job) -> None:
        """Write what the container's /etc/hosts and its like are to be."""
        for name, data in contents(job.process):
            self.write(name, data, 0o644)

    def state_dir(self, runtime: str) -> str:
        """Where a runtime may keep what it knows of its containers."""
        return os.path.join(self._run_dir, runtime)

    def close(self) -> None:
        """Take the traces back and remove the folder; to be called when no process is left."""
        try:
            if self._traces is not None:
                self._traces.take_back()
                self._sync()
        finally:
            self._traces = None
            if self._root is not None:
                self._root.close()
                self._root = None
            if self.group is not None:
                self.group.leave()
            _remove_states(self._run_dir, self.name)
            remove_tree(self.folder)
            self._unlock()

    def leave(self) -> None:
        """Let go of it for those who inherited its locks; who sweeps takes the traces back."""
        self._traces = None
        if self._root is not None:
            self._root.close()
            self._root = None
        if self.group is not None:
            self.group.leave()
        self._unlock()

    def _sync(self) -> None:
        """Write a root of limited size to disk; later nobody is told that there was no room."""
        if not os.path.isfile(self._upper):
            return
        from lamina.fs import limited  # few need it

        try:
            limited.sync(self._upper)
        except OSError as error:
            raise from_oserror(error, "writing what was changed to", self._upper) from error

    def _unlock(self) -> None:
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()


def sweep(run_dir: str, is_container: Callable[[str], bool] = lambda _: True) -> int:
    """Clear away what killed engines left in `run_dir`; gives how many rooms that were.

    A room whose root is not found keeps the content that is to go back there, for the next start,
    as long as there is a container of that ID.
    So does one whose control groups somebody is still in. What still lives is left alone. Raises
    OSError or `StorageError`.
    """
    cleared = 0
    for name in os.listdir(run_dir):
        if len(name) != ID_DIGITS:
            continue
        folder = os.path.join(run_dir, name)
        lock = _try_lock(folder)  # also of one that has none yet, or no more
        if lock is None:
            continue
        try:
            clean = _recover_room(folder) or not is_container(name)
            if clean and _remove_states(run_dir, name, _GLANCE):
                remove_tree(folder)
                cleared += 1
        finally:
            os.close(lock)
    return cleared


def discard(run_dir: str, container: str) -> None:
    """Clear away what is left of a start of a container that is going, its layer included."""
    folder = os.path.join(run_dir, container)
    lock = _try_lock(folder)
    if lock is None:
        return
    try:
        if _remove_states(run_dir, container):  # else for the next opener to clear away
            remove_tree(folder)
    finally:
        os.close(lock)


def _plans_of(job: Job) -> list[MountPlan]:
    return [job.plan, *(each.plan for each in job.extras if isinstance(each, Tree))]


def _upper_of(job: Job) -> str:
    """Where what is made in the root is found again: a path, or in words which device that is."""
    root = job.plan.root
    return job.upper if isinstance(root, Known) else root.text()


def _clear(folder: str) -> None:
    """Remove what an earlier start left, and nobody swept; what is to go back into a root stays."""
    for name in os.listdir(folder):
        if name not in _LASTING and not name.startswith(SAVED):
            remove_tree(os.path.join(folder, name))


def _recover(folder: str, upper: str) -> None:
    if not os.path.exists(os.path.join(folder, JOURNAL)):
        return
    if upper.startswith("/"):
        recover(folder, upper)
        return
    from lamina.fs.thin import parse

    with detached(MountPlan(parse(upper))) as root:
        recover(folder, f"/proc/self/fd/{root}")


def _recover_room(folder: str) -> bool:
    """Whether nothing is left there that is still to go back into the root."""
    try:
        with open(os.path.join(folder, "upper"), "rb") as file:
            upper = os.fsdecode(file.read())
    except FileNotFoundError:
        return True  # killed before it did anything
    try:
        _recover(folder, upper)
    except FileNotFoundError:  # the layer is gone, or it lies elsewhere now
        return not any(name.startswith(SAVED) for name in os.listdir(folder))
    return True


def _lock_alone(folder: str) -> int:
    limit = time.monotonic() + _PATIENCE
    while True:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = _try_lock(folder)
        if lock is not None:
            return lock
        if time.monotonic() > limit:
            raise InUse(f"the container {os.path.basename(folder)[:12]} is running already")
        time.sleep(_POLL)


def _try_lock(folder: str) -> int | None:
    """The lock of a folder, unless another has it or it was removed by whoever had it."""
    path = os.path.join(folder, "lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _remove_states(run_dir: str, name: str, patience: float = _PATIENCE) -> bool:
    """What a killed runtime could not remove itself, and control groups; whether all are gone."""
    gone = True
    base = _group_parent(os.path.join(run_dir, name, _GROUP))
    if base is not None:
        gone = cgroups.remove(name, patience, base=base or cgroups.BASE)
    for runtime in _RUNTIMES:
        state = os.path.join(run_dir, runtime, name)
        if os.path.isdir(state):
            gone = _remove_cgroups(name, patience) and gone
            remove_tree(state)
    return gone


def _group_parent(path: str) -> str | None:
    """Below which group the container's own was made ("": the usual); None where none was."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except FileNotFoundError:
        return None


def _remove_cgroups(name: str, patience: float) -> bool:
    """runc makes a control group below ours in each hierarchy, named like the container."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    return cgroups.clear(
        [
            f"{base}{path.rstrip('/')}/{name}"
            for _, controllers, path in rows
            for base in (_hierarchy(controllers), "/sys/fs/cgroup")
        ],
        patience,
    )


def _hierarchy(controllers: str) -> str:
    return f"/sys/fs/cgroup/{controllers.removeprefix('name=') or 'unified'}"
