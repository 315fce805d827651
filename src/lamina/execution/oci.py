"""By an OCI runtime, crun or runc: bundle, private namespaces, and how it ends."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.execution.complaints import Complaints
from lamina.execution.extras import attach_extras, place_of
from lamina.execution.inside import resize_terminal
from lamina.execution.job import Job, Scene
from lamina.execution.life import Life
from lamina.execution.limiting import out_of_memory
from lamina.execution.mountpoints import make
from lamina.execution.room import Room
from lamina.execution.running import Running
from lamina.execution.runtimes import (
    failure,
    host_for,
    last_error,
    message_of,
    runtime,
    terminal_size,
)
from lamina.execution.spawned import Exit, Stdio, spawn
from lamina.fs.atomic import write_file
from lamina.fs.mounting import attach, cover, in_private_namespace, refuse_devices
from lamina.runtime import bundle
from lamina.runtime.confinement import HOST
from lamina.runtime.isolation import Isolation, needed_program


def begin(job: Job, scene: Scene, isolation: Isolation, room: Room, stdio: Stdio) -> Running:
    """Start the job; raises `RuntimeFailure`, `StorageError` or OSError."""

    refuse(job, isolation)

    def work(stderr: int) -> tuple[Life, int]:
        attach(job.plan, room.root_path)
        if job.needs_memory:
            attach_extras(job.extras, room.folder)
        make(room.enter(room.root_path), scene.system, [*scene.files, *scene.volumes])
        if not job.process.privileged:
            refuse_devices(room.root.fd, room.root_path)
        if isolation.cover:
            cover(isolation.cover)
        bundle = place_of(room.folder) if job.confidential else room.folder
        data = document(job, scene, isolation, room, stdio)
        write_file(os.path.join(bundle, "config.json"), data, mode=0o600)
        life = Life(room.locks)
        try:
            return life, _spawn(isolation, room, bundle, stdio._replace(stderr=stderr))
        except BaseException:
            life.end()
            raise

    room.write_host_files(job)
    complaints = Complaints(stdio.stderr, isolation.program, _meaning(room))
    try:
        life, child = in_private_namespace(lambda: work(complaints.end), _give_up)
        try:
            complaints.listen(child)
        except BaseException:
            _give_up((life, child))
            raise
    except BaseException:
        complaints.close()
        raise
    return Running(
        life.pid, child, _Tie(life, complaints, child), room, _judge(job, complaints, room)
    )


def refuse(job: Job, isolation: Isolation) -> None:
    """Raise `RuntimeFailure` for what no runtime does here."""
    if job.process.confinement.pid == HOST:
        raise RuntimeFailure(
            f"{isolation.name} cannot show a container the processes of this machine yet",
            hint="leave out --pid host, or use LAMINA_ISOLATION=chroot",
        )


def _give_up(started: tuple[Life, int]) -> None:
    """End what was started, and wait until nothing of it is left."""
    life, child = started
    life.cut()
    with suppress(ChildProcessError):  # the caller's process reaps, or ignores, all its children
        os.waitpid(child, 0)  # first: the namespace does not end before its dead are buried
    life.end()


class _Tie(NamedTuple):
    """The container's life, and what it still says as it ends; `child` is the runtime."""

    life: Life
    complaints: Complaints
    child: int

    def cut(self) -> None:
        """Let everything be killed; does not wait."""
        self.life.cut()

    def end(self) -> None:
        """Let everything be killed, and wait until all that was said is passed on."""
        self.life.end()
        self.complaints.finish()

    def resize(self, size: os.terminal_size) -> None:
        """Give the container's terminal another size."""
        resize_terminal(self.child, size)


def document(job: Job, scene: Scene, isolation: Isolation, room: Room, stdio: Stdio) -> bytes:
    """The runtime's `config.json`."""
    host = host_for(job.process, room.group)
    mounts = tuple(point.mount for point in (*scene.files, *scene.volumes))
    return bundle.config(
        job.process,
        scene.credentials,
        root=room.root_path,
        host=host,
        mounts=mounts,
        hook=_hook(job, isolation, room),
        terminal_size=terminal_size(stdio) if job.process.tty else None,
    )


def _hook(job: Job, isolation: Isolation, room: Room) -> tuple[str, ...]:
    if isolation.name != "crun" or job.process.privileged:
        return ()
    return _device_guard(job, room)


def _device_guard(job: Job, room: Room) -> tuple[str, ...]:
    """crun mounts the root once more, without the options it had: refuse devices again.

    The shell takes what the runtime writes to a hook's input: mount(8) would be gone before it is
    written, now and then, and crun would fail with a broken pipe.
    """
    options = "remount,bind,nodev" + (",ro" if job.process.readonly_root else "")
    command = needed_program("mount"), "-n", "-o", options, room.root_path
    return needed_program("sh"), "-c", 'read -r _; exec "$0" "$@"', *command


def _spawn(isolation: Isolation, room: Room, bundle: str, stdio: Stdio) -> int:
    """It seals a copy of itself (CVE-2019-5736) by a file, which a kill leaves: not in /tmp."""
    return spawn(
        _command(isolation, room, bundle),
        stdio,
        environment={"_LIBCONTAINER_STATEDIR": room.folder},
    )


def _command(isolation: Isolation, room: Room, bundle: str) -> list[str]:
    """crun keeps a copy of the bundle's document with its state: both lie in the same place."""
    in_memory = bundle != room.folder and isolation.name == "crun"
    state = os.path.join(bundle, "state") if in_memory else room.state_dir(isolation.name)
    command = runtime(isolation, state, room.path("log"), in_group=room.group is not None)
    return [*command, "run", "--bundle", bundle, room.name]


def _judge(job: Job, complaints: Complaints, room: Room) -> Callable[[Exit], Exit]:
    def judge(result: Exit) -> Exit:
        if complaints.refusal and result.code:
            raise failure(complaints.refusal, job.process.args[0])
        if room.group is not None and room.group.ran_out_of_memory():
            return result._replace(words=out_of_memory(job.process.limits))
        return result

    return judge


def _meaning(room: Room) -> Callable[[bytes], str]:
    """What tells why a command was not executed; nothing when it was, whatever it wrote then.

    The container's own first process has no log: that execve(2) failed it can only write to the
    standard error.
    """

    def means(said: bytes) -> str:
        words = message_of(said.decode("utf-8", "replace").strip())
        return last_error(room.path("log")) or (words if _EXECVE.fullmatch(words) else "")

    return means


# `exec /x: exec format error` (runc), "exec container process `/x`: Exec format error" (crun)
_EXECVE = re.compile(r"exec (container process (\([^)]*\) )?)?\S+: [A-Za-z ]+")
