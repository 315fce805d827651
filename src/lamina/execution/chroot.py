"""By a chroot alone, where no OCI runtime can be used.

Where mounting is allowed the root is attached in a private mount namespace, with the host's /proc
and /sys and a small /dev. Where it is not, the layer's directory itself is the root: the host's
files are lent to it and missing device nodes made for the time of the run.

Not a boundary against a process that is root inside: it has docker's fourteen capabilities and no
others, but the host's user and (unless apart) process namespaces, and without the right to mount no
namespace at all and no filter of system calls. Set-user-ID programs work, as they do under docker.
"""

import fcntl
import json
import os
import signal
import stat
import struct
import sys

from lamina.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ProgramMissing,
    RuntimeFailure,
)
from lamina.execution.extras import attach_extras
from lamina.execution.filtering import program_for
from lamina.execution.furniture import make_readonly, mount_point, mount_system
from lamina.execution.job import Job, Scene
from lamina.execution.limiting import number_of
from lamina.execution.mountpoints import make
from lamina.execution.room import Room
from lamina.execution.running import Running
from lamina.execution.spawned import Exit, Stdio, spawn
from lamina.fs.atomic import write_all
from lamina.fs.inroot import Root
from lamina.fs.mounting import Bind, attach, in_private_namespace, refuse_devices
from lamina.fs.processes import oom_score
from lamina.kernel import chroot_init
from lamina.kernel.namespaces import (
    CAP_MKNOD,
    CAP_SYS_ADMIN,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    bounding_capabilities,
    has_capability,
    unshare,
)
from lamina.runtime.bundle import granted, hidden_paths
from lamina.runtime.capabilities import NUMBERS
from lamina.runtime.confinement import HOST, UNCONFINED, Confinement
from lamina.runtime.hostfiles import contents
from lamina.runtime.isolation import Isolation, find_program
from lamina.runtime.process import Process, environment
from lamina.runtime.program import why_unfit

_KINDS = {126: CommandNotExecutable, 127: CommandNotFound}
# Linux's memory devices (Documentation/admin-guide/devices.txt), for a root without /dev
_NODES = (("full", 7), ("null", 3), ("random", 8), ("urandom", 9), ("zero", 5))
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # uapi linux/sockios.h, linux/if.h


def begin(job: Job, scene: Scene, _isolation: Isolation, room: Room, stdio: Stdio) -> Running:
    """Start the job; raises `RuntimeFailure`, `StorageError` or OSError."""
    _refuse(job.process.confinement)
    granted(job.process, bounding_capabilities())  # refused before anything is made
    if has_capability(CAP_SYS_ADMIN):
        room.write_host_files(job)
        helper = in_private_namespace(lambda: _mounted(job, scene, room, stdio), _Helper.give_up)
    else:
        helper = _plain(job, scene, room, stdio)
    helper.start(job, scene)
    return Running(helper.pid, helper.pid, helper, room, _as_it_is)


def _mounted(job: Job, scene: Scene, room: Room, stdio: Stdio) -> "_Helper":
    attach(job.plan, room.root_path)
    if job.extras:
        attach_extras(job.extras, room.folder)
    points = [*scene.files, *scene.volumes]
    # The namespace may outlive the command by a moment: a thread is ending that was in it.
    make(room.enter(room.root_path, apart=True), scene.system, points)
    with Root.at(room.root_path) as root:
        if not job.process.privileged:
            refuse_devices(root.fd, room.root_path)
        mount_system(root, room.root_path, job.process)
        for point in points:
            mount_point(root, point)
    if job.process.readonly_root:
        make_readonly(room.root_path)
    _leave_namespaces(job.process)
    alone = job.process.confinement.pid != HOST and _processes_apart()
    return _Helper(room.root_path, room, stdio, alone=alone, hides=True)


def _leave_namespaces(process: Process) -> None:
    confinement = process.confinement
    if confinement.ipc != HOST:
        unshare(CLONE_NEWIPC)
    if confinement.uts != HOST:
        import socket  # costs a run by crun what it does not need

        unshare(CLONE_NEWUTS)
        socket.sethostname(process.hostname)
    if process.network == "none":
        unshare(CLONE_NEWNET)
        _raise_loopback()


def _processes_apart() -> bool:
    """Let what this thread starts be the first in a process namespace, where that is allowed."""
    try:
        unshare(CLONE_NEWPID)
    except OSError:
        return False
    return True


def _raise_loopback() -> None:
    """In the calling thread's new network namespace."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        asked = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(end, _SIOCGIFFLAGS, asked), 16)
        fcntl.ioctl(end, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _refuse(confinement: Confinement) -> None:
    if confinement.sysctls:
        raise RuntimeFailure(
            "a chroot cannot set kernel parameters of a container's own",
            hint="install crun, or leave --sysctl out",
        )
    if confinement.apparmor not in ("", UNCONFINED):
        raise RuntimeFailure(
            "a chroot cannot confine a container by a profile of AppArmor",
            hint="install crun, or leave the option out",
        )


def _plain(job: Job, scene: Scene, room: Room, stdio: Stdio) -> "_Helper":
    if not isinstance(job.plan.root, Bind):
        raise RuntimeFailure(
            "uniting layers needs the right to mount (CAP_SYS_ADMIN)", hint="use the vfs driver"
        )
    _refuse_mounts(job)
    _furnish(job, scene, room, job.plan.root.source)
    return _Helper(job.plan.root.source, room, stdio, alone=False)


def _refuse_mounts(job: Job) -> None:
    process = job.process
    mounted = (*process.volumes, *process.tmpfs, *process.confinement.devices, *job.extras)
    targets = [each.target for each in mounted]
    if targets:
        what = f"mounting something on {', '.join(targets)}"
    elif process.network == "none":
        what = "a container without a network"
    elif process.readonly_root:
        what = "a root that is read-only"
    elif process.confinement.ipc == "none":
        what = "a container without shared memory"
    elif process.confinement.shm_size != Confinement().shm_size:
        what = "shared memory of another size"
    else:
        return
    raise RuntimeFailure(
        f"{what} needs the right to mount (CAP_SYS_ADMIN)",
        hint="leave the option out, or run with more rights",
    )


def _furnish(job: Job, scene: Scene, room: Room, root: str) -> None:
    """Lend files and devices; they go when the room is closed."""
    traces = room.enter(root)
    data = contents(job.process)
    for point, (_, content) in zip(scene.files, data, strict=True):
        traces.lent_file(point.path, content)
    for name, minor in _NODES:
        path = f"dev/{name}".encode()
        if room.root.lstat(path) is not None:
            continue
        if has_capability(CAP_MKNOD):
            traces.device(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        elif name == "null":
            traces.lent_file(path, b"")  # or the first `>/dev/null` makes one that stays


def _as_it_is(result: Exit) -> Exit:
    return result


class _Helper:
    """lamina.kernel.chroot_init, exec'ed; when our end of its line closes it kills its own.

    It is `alone` as the first process of a process namespace, and `hides` what docker hides.
    """

    def __init__(
        self, root: str, room: Room, stdio: Stdio, *, alone: bool, hides: bool = False
    ) -> None:
        python = os.path.realpath(sys.executable) if sys.executable else find_program("python3")
        if python is None:
            raise ProgramMissing("there is no python3 to start the chroot", hint="install python3")
        self._root = root
        self._alone = alone
        self._hides = hides
        self._report, reporting = os.pipe2(os.O_CLOEXEC)
        listening, self._line = os.pipe2(os.O_CLOEXEC)
        self._life, living = os.pipe2(os.O_CLOEXEC)
        given = (listening, reporting, living)
        try:
            extra = tuple((each, its) for its, each in enumerate((*given, *room.locks), 3))
            command = [python, "-I", "-S", chroot_init.__file__, str(3 + len(extra))]
            self.pid = spawn(command, stdio, extra=extra, deaf=True)
        except BaseException:
            os.close(self._report)
            os.close(self._life)
            self.cut()
            raise
        finally:
            for each in given:
                os.close(each)

    def start(self, job: Job, scene: Scene) -> None:
        """Say what to start and wait until it is; raises what hindered it."""
        try:
            request = self._request(job, scene)
            write_all(self._line, len(request).to_bytes(8, "big") + request)
            said = b""
            while more := os.read(self._report, 4096):
                said += more
        except BaseException:
            self._end_and_reap()
            raise
        finally:
            os.close(self._report)
        if said:
            self._end_and_reap()
            code, _, words = said.decode("utf-8", "replace").partition(" ")
            kind = _KINDS.get(int(code), RuntimeFailure)
            raise kind(f"cannot run {job.process.args[0]!r}: {words}", hint=why_unfit(words))

    def _request(self, job: Job, scene: Scene) -> bytes:
        credentials = scene.credentials
        rights = granted(job.process, bounding_capabilities())
        score = job.process.limits.oom_score_adj
        masked, read_only = hidden_paths(job.process) if self._hides else ((), ())
        return json.dumps(
            {
                "root": self._root,
                "kept": [NUMBERS[name] for name in rights],
                "rlimits": [
                    (each.name, number_of(each.name), each.soft, each.hard)
                    for each in job.process.limits.ulimits
                ],
                "oom_score_adj": score if score or oom_score() < 0 else None,
                "no_new_privileges": job.process.confinement.no_new_privileges,
                "filter": program_for(job.process, job.run_dir).hex(),
                "alone": self._alone,
                "masked": masked,
                "readonly": read_only,
                "cwd": job.process.cwd,
                "args": job.process.args,
                "env": environment(job.process, credentials.home),
                "uid": credentials.uid,
                "gid": credentials.gid,
                "groups": credentials.groups,
            }
        ).encode()

    def give_up(self) -> None:
        """End it before it was told to start anything."""
        os.close(self._report)
        self._end_and_reap()

    def _end_and_reap(self) -> None:
        self.end()
        os.waitpid(self.pid, 0)

    def cut(self) -> None:
        """Let the helper kill all that it started."""
        line, self._line = self._line, -1
        if line >= 0:
            os.close(line)

    def resize(self, _size: os.terminal_size) -> None:
        """The terminal is the caller's own: it has the size, and the command is told."""
        os.kill(self.pid, signal.SIGWINCH)

    def end(self) -> None:
        """Wait for whoever of the helper supervises: it ends when nothing is left."""
        self.cut()
        life, self._life = self._life, -1
        if life >= 0:
            os.read(life, 1)
            os.close(life)
