"""By an OCI runtime, crun or runc: bundle, private namespaces, and what it means when it fails."""

import json
import os
import re
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from lamina.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from lamina.execution.complaints import Complaints
from lamina.execution.devices import nodes_of
from lamina.execution.extras import attach_extras, place_of
from lamina.execution.inside import resize_terminal
from lamina.execution.job import Job, Scene
from lamina.execution.life import Life
from lamina.execution.limiting import out_of_memory
from lamina.execution.mountpoints import make
from lamina.execution.room import Room
from lamina.execution.running import Running
from lamina.execution.spawned import Exit, Stdio, spawn
from lamina.fs.atomic import write_file
from lamina.fs.mounting import attach, cover, in_private_namespace, refuse_devices
from lamina.kernel.namespaces import bounding_capabilities, is_mapped
from lamina.runtime import bundle
from lamina.runtime.confinement import HOST
from lamina.runtime.isolation import Isolation, has_apparmor, needed_program
from lamina.runtime.program import why_unfit

_LOG_LIMIT = 1 << 16  # bytes; a runtime says one or two lines


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
    host = bundle.Host(
        bounding=bounding_capabilities(),
        core=resource.getrlimit(resource.RLIMIT_CORE)[1],
        devices=tuple(name for name in bundle.DEVICES if os.path.exists(f"/dev/{name}")),
        has_tty_group=is_mapped(0, bundle.TTY),
        nodes=nodes_of(job.process),
        apparmor=has_apparmor(),
        group=room.group.path if room.group is not None else "",
    )
    mounts = tuple(point.mount for point in (*scene.files, *scene.volumes))
    return bundle.config(
        job.process,
        scene.credentials,
        root=room.root_path,
        host=host,
        mounts=mounts,
        hook=_hook(job, isolation, room),
        terminal_size=_terminal_size(stdio) if job.process.tty else None,
    )


def _hook(job: Job, isolation: Isolation, room: Room) -> tuple[str, ...]:
    if isolation.name != "crun" or job.process.privileged:
        return ()
    return _device_guard(job, room)


def _terminal_size(stdio: Stdio) -> os.terminal_size | None:
    try:
        return None if stdio.stdin is None else os.get_terminal_size(stdio.stdin)
    except OSError:
        return None


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
    return [*runtime(isolation, room, state), "run", "--bundle", bundle, room.name]


def runtime(isolation: Isolation, room: Room, state: str) -> list[str]:
    """The runtime with its options, for any of its verbs.

    In a mount namespace whose /proc shows the process namespace that the runtime is in.
    """
    options = ["--root", state]
    options += ["--log", room.path("log"), "--log-format", "json"]
    if isolation.name == "crun":
        manager = "disabled" if room.group is None else "cgroupfs"
        options.append(f"--cgroup-manager={manager}")
    return [needed_program("unshare"), "--mount-proc", "--", isolation.program, *options]


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
        words = _message(said.decode("utf-8", "replace").strip())
        return last_error(room.path("log")) or (words if _EXECVE.fullmatch(words) else "")

    return means


def failure(message: str, command: str) -> RuntimeFailure:
    """The error that a runtime's words mean; a command's own failure leaves no words."""
    words = message.lower()
    if any(each in words for each in _ABOUT_COMMAND):
        if any(each in words for each in _MISSING):
            return CommandNotFound(f"cannot run {command!r}: {_no_such(command, words)}")
        for each, plainly in _UNUSABLE.items():
            if each in words:
                brief = f"cannot run {command!r}: {plainly}"
                return CommandNotExecutable(brief, hint=why_unfit(plainly))
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return RuntimeFailure(f"cannot start the container: {message}")


def _no_such(command: str, words: str) -> str:
    if "/" not in command:
        return "executable file not found in $PATH"
    if words.startswith("exec"):  # the file itself is there, or it would not have got so far
        return "no such file or directory: its interpreter or dynamic loader is missing"
    return "no such file or directory"


# `exec /x: exec format error` (runc), "exec container process `/x`: Exec format error" (crun)
_EXECVE = re.compile(r"exec (container process (\([^)]*\) )?)?\S+: [A-Za-z ]+")
_PREFIXES = (
    "runc run failed: ",
    "unable to start container process: ",
    "error during container init: ",
)
_ABOUT_COMMAND = ("executable", "exec:", "exec /", "exec container process")
_MISSING = ("not found", "no such file")
_UNUSABLE = {
    "permission denied": "permission denied",
    "operation not permitted": "permission denied",  # crun's words for a directory
    "exec format error": "exec format error",
    "is a directory": "is a directory",
    "not a directory": "not a directory",
    "argument list too long": "the arguments and the environment are too long",
}


def last_error(log: str) -> str:
    """What the runtime logged last as an error; nothing for a mere warning."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LOG_LIMIT).splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        message = _message(line.strip())
        if message and not message.startswith("Failed to remove"):  # runc's, after the end
            return message
    return ""


def _message(line: str) -> str:
    """What a line of a log says; nothing for a mere warning."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if isinstance(record, dict) and record.get("level", "error") in ("error", "fatal"):
        return str(record.get("msg", "")).strip()
    return ""
