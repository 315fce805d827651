"""By an OCI runtime, crun or runc: bundle, private namespaces, and how it ends."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lamina.errors import RuntimeFailure
from lamina.execution.complaints import Complaints
from lamina.execution.extras import attach_extras, place_of
from lamina.execution.filtering import filtering
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

if TYPE_CHECKING:  # what passes a terminal on is loaded where there is one
    from lamina.execution.console import Console

_CONSOLE = 3  # a descriptor that the runtime gets


def begin(job: Job, scene: Scene, isolation: Isolation, room: Room, stdio: Stdio) -> Running:
    """Start the job; raises `RuntimeFailure`, `StorageError` or OSError."""

    refuse(job, isolation)

    def work() -> tuple[Life, int]:
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
            return life, _spawn(isolation, room, bundle, streams)
        except BaseException:
            life.end()
            raise

    room.write_host_files(job)
    streams = _streams(job, isolation, room, stdio)
    try:
        life, child = in_private_namespace(work, _give_up)
    except BaseException:
        streams.close()
        raise
    try:
        streams.listen(child)
    except BaseException:
        _give_up((life, child))
        raise
    judge = _judge(job, streams.complaints, room)
    return Running(life.pid, child, _Tie(life, streams, child), room, judge)


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


class _Streams(NamedTuple):
    """What passes on what the runtime and its container write, and what is typed."""

    stdio: Stdio
    complaints: Complaints
    console: "Console | None"

    def theirs(self) -> tuple[Stdio, tuple[tuple[int, int], ...]]:
        """The runtime's standard streams, and the pairs (ours, its) of what else it has."""
        stdio = self.stdio._replace(stderr=self.complaints.end)
        if self.console is None:
            return stdio, ()
        return stdio._replace(stdin=None, stdout=None), ((self.console.end, _CONSOLE),)

    def listen(self, child: int) -> None:
        """Pass on from now on; `child` is the runtime. All is closed when it raises."""
        if self.console is not None:
            try:
                self.console.listen()
            except BaseException:
                self.close()
                raise
        try:
            self.complaints.listen(child)
        except BaseException:
            self.complaints.close()
            if self.console is not None:
                self.console.finish()
            raise

    def finish(self) -> None:
        """Wait until all that was said is passed on."""
        self.complaints.finish()
        if self.console is not None:
            self.console.finish()

    def close(self) -> None:
        """Let go of everything, when nobody came to listen."""
        self.complaints.close()
        if self.console is not None:
            self.console.close()


def _streams(job: Job, isolation: Isolation, room: Room, stdio: Stdio) -> _Streams:
    """runc passes its terminal on to the end, and gives it away only when it does not wait."""
    console = None
    if job.process.tty and isolation.name == "crun":
        from lamina.execution.console import Console  # few need it

        console = Console(room.folder, stdio)
    try:
        return _Streams(stdio, Complaints(stdio.stderr, isolation.program, _meaning(room)), console)
    except BaseException:
        if console is not None:
            console.close()
        raise


class _Tie(NamedTuple):
    """The container's life, and what it still says as it ends; `child` is the runtime."""

    life: Life
    streams: _Streams
    child: int

    def cut(self) -> None:
        """Let everything be killed; does not wait."""
        self.life.cut()

    def end(self) -> None:
        """Let everything be killed, and wait until all that was said is passed on."""
        self.life.end()
        self.streams.finish()

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
        filtering=filtering(job.process, isolation, job.run_dir),
    )


def _hook(job: Job, isolation: Isolation, room: Room) -> tuple[str, ...]:
    if isolation.name != "crun" or job.process.privileged:
        return ()
    return _device_guard(job, room)


def _device_guard(job: Job, room: Room) -> tuple[str, ...]:
    """crun mounts the root once more, without the options it had: refuse devices again.

    What the runtime writes to a hook's input is taken first: mount(8) would be gone before it is
    written, now and then, and crun would fail with a broken pipe. (A shell's own `read` takes it
    byte by byte, and a filter's program is among it.)
    """
    options = "remount,bind,nodev" + (",ro" if job.process.readonly_root else "")
    command = needed_program("mount"), "-n", "-o", options, room.root_path
    script = '"$0" >/dev/null; exec "$@"'
    return needed_program("sh"), "-c", script, needed_program("cat"), *command


def _spawn(isolation: Isolation, room: Room, bundle: str, streams: _Streams) -> int:
    """It seals a copy of itself (CVE-2019-5736) by a file, which a kill leaves: not in /tmp."""
    stdio, extra = streams.theirs()
    command = _command(isolation, room, bundle)
    if streams.console is not None:
        command += ["--console-socket", f"/proc/self/fd/{_CONSOLE}"]
    return spawn(
        [*command, room.name],
        stdio,
        extra=extra,
        environment={"_LIBCONTAINER_STATEDIR": room.folder},
    )


def _command(isolation: Isolation, room: Room, bundle: str) -> list[str]:
    """crun keeps a copy of the bundle's document with its state: both lie in the same place."""
    in_memory = bundle != room.folder and isolation.name == "crun"
    state = os.path.join(bundle, "state") if in_memory else room.state_dir(isolation.name)
    command = runtime(isolation, state, room.path("log"), in_group=room.group is not None)
    return [*command, "run", "--bundle", bundle]


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
