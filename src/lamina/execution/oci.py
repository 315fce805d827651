"""By an OCI runtime, crun or runc: bundle, private namespaces, and what it says when it fails."""

import errno
import json
import os
import resource
from collections.abc import Callable

from lamina.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from lamina.execution.job import Job, Scene
from lamina.execution.life import Life
from lamina.execution.mountpoints import make
from lamina.execution.room import Room
from lamina.execution.running import Running
from lamina.execution.spawned import Exit, Stdio, spawn
from lamina.fs.mounting import attach, cover, in_private_namespace
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import bounding_capabilities
from lamina.runtime import bundle
from lamina.runtime.isolation import Isolation, needed_program

_MOUNT_ATTR_NODEV = 4  # include/uapi/linux/mount.h
_LOG_LIMIT = 1 << 16  # bytes; a runtime says one or two lines


def begin(job: Job, scene: Scene, isolation: Isolation, room: Room, stdio: Stdio) -> Running:
    """Start the job; raises `RuntimeFailure`, `StorageError` or OSError."""

    def work() -> tuple[Life, int]:
        attach(job.plan, room.root_path)
        make(room.enter(room.root_path), scene.system, [*scene.files, *scene.volumes])
        refuse_devices(room.root.fd, room.root_path)
        if isolation.cover:
            cover(isolation.cover)
        room.write("config.json", _document(job, scene, isolation, room), 0o600)
        life = Life(room.locks)
        try:
            return life, spawn(_command(isolation, room), stdio)
        except BaseException:
            life.end()
            raise

    room.write_host_files(job)
    life, child = in_private_namespace(work)
    return Running(life.pid, child, life, room, _judge(job, room))


def refuse_devices(root: int, path: str) -> None:
    """Let no device node in the mounted root be opened: nothing else guards the host's disks."""
    try:
        kernel.mount_setattr(root, _MOUNT_ATTR_NODEV)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NODEV
        if os.fstatvfs(root).f_flag & os.ST_RDONLY:
            flags |= kernel.MS_RDONLY
        kernel.mount("none", path, "", flags)


def _document(job: Job, scene: Scene, isolation: Isolation, room: Room) -> bytes:
    host = bundle.Host(
        bounding=bounding_capabilities(),
        core=resource.getrlimit(resource.RLIMIT_CORE)[1],
        devices=tuple(name for name in bundle.DEVICES if os.path.exists(f"/dev/{name}")),
    )
    binds = tuple(point.bind for point in (*scene.files, *scene.volumes))
    return bundle.config(
        job.process,
        scene.credentials,
        root=room.root_path,
        host=host,
        binds=binds,
        hook=_device_guard(job, room) if isolation.name == "crun" else (),
    )


def _device_guard(job: Job, room: Room) -> tuple[str, ...]:
    """crun mounts the root once more, without the options it had: refuse devices again.

    The shell takes what the runtime writes to a hook's input: mount(8) would be gone before it is
    written, now and then, and crun would fail with a broken pipe.
    """
    options = "remount,bind,nodev" + (",ro" if job.process.readonly_root else "")
    command = needed_program("mount"), "-n", "-o", options, room.root_path
    return needed_program("sh"), "-c", 'read -r _; exec "$0" "$@"', *command


def _command(isolation: Isolation, room: Room) -> list[str]:
    """In a mount namespace whose /proc shows the process namespace that the runtime is in."""
    options = ["--root", room.state_dir(isolation.name)]
    options += ["--log", room.path("log"), "--log-format", "json"]
    if isolation.name == "crun":
        options.append("--cgroup-manager=disabled")  # no limits are asked for: none is needed
    inner = [isolation.program, *options, "run", "--bundle", room.folder, room.name]
    return [needed_program("unshare"), "--mount-proc", "--", *inner]


def _judge(job: Job, room: Room) -> Callable[[Exit], Exit]:
    def judge(result: Exit) -> Exit:
        message = _last_error(room.path("log")) if result.code else ""
        if message:
            raise _failure(message, job.process.args[0])
        return result

    return judge


def _failure(message: str, command: str) -> RuntimeFailure:
    """The error that a runtime's words mean; a command's own failure leaves no words."""
    words = message.lower()
    if any(each in words for each in _ABOUT_COMMAND):
        if any(each in words for each in _MISSING):
            return CommandNotFound(f"cannot run {command!r}: {message}")
        if any(each in words for each in _UNUSABLE):
            return CommandNotExecutable(f"cannot run {command!r}: {message}")
    return RuntimeFailure(f"cannot start the container: {message}")


_ABOUT_COMMAND = ("executable", "exec:", "exec /", "exec container process")
_MISSING = ("not found", "no such file")
_UNUSABLE = (
    "permission denied",
    "operation not permitted",
    "exec format error",
    "is a directory",
    "not a directory",
)


def _last_error(log: str) -> str:
    """What the runtime logged last as an error; nothing for a mere warning."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LOG_LIMIT).splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            return line.strip()
        if isinstance(record, dict) and record.get("level", "error") in ("error", "fatal"):
            message = str(record.get("msg", "")).strip()
            if not message.startswith("Failed to remove"):  # runc's, after the container's end
                return message
    return ""
