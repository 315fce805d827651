"""The folder of one start, and everything that must be given up when it is over.

<run_dir>/<container id>/  0700
  rootfs/                  where the root is attached, in a private mount namespace only
  config.json              the bundle, or request.json for a chroot
  hosts hostname resolv.conf
  log                      what the runtime says of itself
  traces                   what was made in the root (see lamina.execution.traces)
"""

import fcntl
import os

from lamina.execution.job import Job
from lamina.execution.traces import Traces, recover
from lamina.fs.atomic import write_all
from lamina.fs.inroot import Root
from lamina.fs.remove import remove_tree
from lamina.runtime.hostfiles import contents


class Room:
    """Made first and closed last; closing it leaves nothing of the start behind."""

    def __init__(self, job: Job) -> None:
        self.name = job.container_id
        self.folder = os.path.join(job.run_dir, job.container_id)
        self.root_path = os.path.join(self.folder, "rootfs")
        self._run_dir = job.run_dir
        self._root: Root | None = None
        self._traces: Traces | None = None
        self.hold: int | None = None
        os.makedirs(self.root_path, mode=0o700, exist_ok=True)
        recover(self.folder, job.upper)
        self._remove_states()
        if job.plan.hold is not None:
            self.hold = _held(job.plan.hold)

    def enter(self, path: str) -> Traces:
        """Open the root, which stays reachable by this descriptor whoever unmounts it."""
        self._root = Root.at(path)
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
        for name, data in contents(job.process.hostname, job.process.network):
            self.write(name, data, 0o644)

    def state_dir(self, runtime: str) -> str:
        """Where a runtime may keep what it knows of its containers."""
        return os.path.join(self._run_dir, runtime)

    def close(self) -> None:
        """Take the traces back and remove the folder; to be called when no process is left."""
        try:
            if self._traces is not None:
                self._traces.take_back()
        finally:
            self._traces = None
            if self._root is not None:
                self._root.close()
                self._root = None
            if self.hold is not None:
                os.close(self.hold)
                self.hold = None
            self._remove_states()
            remove_tree(self.folder)

    def _remove_states(self) -> None:
        """What a killed runtime could not remove itself."""
        for runtime in ("crun", "runc"):
            state = os.path.join(self._run_dir, runtime, self.name)
            if os.path.isdir(state):
                remove_tree(state)
                _remove_cgroups(self.name)


def _held(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _remove_cgroups(name: str) -> None:
    """runc makes a control group below ours in each hierarchy, named like the container."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in rows:
        hierarchy = controllers.removeprefix("name=") or "unified"
        for base in (f"/sys/fs/cgroup/{hierarchy}", "/sys/fs/cgroup"):
            try:
                os.rmdir(f"{base}{path.rstrip('/')}/{name}")
            except OSError:
                continue  # this runtime made none there
