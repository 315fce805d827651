"""Starting one process in a mounted root, and waiting for it.

    start -> Running.pid -> Running.wait -> Exit

Everything happens on a private thread in a mount namespace of its own: the root is attached
there, the runtime is spawned from there, and when both are gone so are the mounts, however they
ended. The runtime is tied to that thread's life, so a killed engine leaves no container behind.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import RuntimeFailure, from_oserror
from lamina.execution import chroot, oci
from lamina.execution.command import check_command
from lamina.execution.files import (
    missing_mount_points,
    note_stubs,
    sweep_stubs,
    write_host_files,
)
from lamina.execution.spawned import Exit, Stdio, children
from lamina.fs.mounting import MountPlan
from lamina.fs.remove import remove_tree
from lamina.fs.tree import TreeView
from lamina.kernel.namespaces import CAP_SYS_ADMIN, has_capability
from lamina.runtime.isolation import Isolation
from lamina.runtime.process import Process
from lamina.runtime.users import resolve_user

__all__ = ["Exit", "Job", "Running", "Stdio", "start"]


class Job(NamedTuple):
    """All that a start needs to know of its container.

    `upper` is the directory in which what is written ends up; `open_view` gives the merged tree
    as it is before the start.
    """

    container_id: str
    plan: MountPlan
    process: Process
    run_dir: str
    upper: str
    open_view: Callable[[], TreeView]


class Running:
    """A process that was started; to be waited for."""

    def __init__(self, job: Job, folder: str) -> None:
        self._job = job
        self._folder = folder
        self._spawned = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._exit: Exit | None = None
        self.pid = 0

    def _note_pid(self, pid: int) -> None:
        self.pid = pid
        self._spawned.set()

    def _run(self, work: Callable[[Callable[[int], None]], Exit]) -> None:
        try:
            self._exit = work(self._note_pid)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error
        finally:
            self._spawned.set()
            self._ended.set()

    def launch(self, work: Callable[[Callable[[int], None]], Exit]) -> None:
        """Begin, and come back once the process runs or could not be started."""
        thread = threading.Thread(
            target=self._run, args=(work,), name="lamina-container", daemon=True
        )
        thread.start()
        self._spawned.wait()
        if self._error is not None and not self.pid:
            self._clean()
            raise _worded(self._error)

    def signal(self, number: int) -> None:
        """Send the container's first process a signal, by way of its runtime."""
        if self._ended.is_set() or not self.pid:
            return
        for pid in (self.pid,) if number == signal.SIGKILL else children(self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def wait(self) -> Exit:
        """Wait for the end; raises `RuntimeFailure` when the command could not be started."""
        try:
            self._ended.wait()
        except BaseException:
            self.signal(signal.SIGKILL)
            self._ended.wait()
            raise
        finally:
            if self._ended.is_set():
                self._clean()
        if self._error is not None:
            raise _worded(self._error)
        assert self._exit is not None
        return self._exit

    def _clean(self) -> None:
        sweep_stubs(self._folder, self._job.upper)
        if os.path.isdir(self._folder):
            remove_tree(self._folder)


def _worded(error: BaseException) -> BaseException:
    if isinstance(error, OSError):
        failure = from_oserror(error, "starting the container")
        return RuntimeFailure(failure.brief, hint=failure.hint)
    return error


def start(job: Job, isolation: Isolation, stdio: Stdio) -> Running:
    """Start the job's process; raises `RuntimeFailure` or its kinds."""
    folder = os.path.join(job.run_dir, job.container_id)
    os.makedirs(os.path.join(folder, "rootfs"), mode=0o700, exist_ok=True)
    running = Running(job, folder)
    view = job.open_view()
    try:
        credentials = resolve_user(view, job.process.user)
        check_command(view, job.process)
        files = write_host_files(folder, job.process, view)
        stubs = missing_mount_points(view, files, job.process)
    except BaseException:
        remove_tree(folder)
        raise
    finally:
        view.close()
    note_stubs(folder, stubs)
    if isolation.name == "chroot":
        may_mount = has_capability(CAP_SYS_ADMIN)
        running.launch(chroot.work(job.plan, job.process, credentials, files, folder, stdio, may_mount))
    else:
        running.launch(
            oci.work(job.plan, job.process, credentials, files, folder, stdio, isolation)
        )
    return running
