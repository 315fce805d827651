"""A container that outlives whoever starts it: handed to a monitor (lamina.execution.monitor).

    launch(Job) -> Launch -> go

The root is prepared as for any start, in the mount namespace of a private thread; the monitor is
exec'ed there first, so that it comes up meanwhile. Until `go` nothing runs, and whoever dies
before it takes all of it along. After it everything hangs on the monitor alone.
"""

import os
import sys
from contextlib import suppress
from typing import NamedTuple

import lamina.execution.monitor as program
from lamina.errors import ProgramMissing, RuntimeFailure
from lamina.execution.job import Job, Scene, inspect
from lamina.execution.limiting import refuse_impossible
from lamina.execution.mountpoints import make
from lamina.execution.oci import document, refuse
from lamina.execution.room import Room
from lamina.execution.run import check, in_words
from lamina.execution.runtimes import failure, host_for, last_error, runtime
from lamina.execution.spawned import QUIET, Stdio, spawn
from lamina.fs.atomic import write_all, write_file
from lamina.fs.cgroups import counters
from lamina.fs.mounting import attach, cover, in_private_namespace, refuse_devices
from lamina.fs.processes import end
from lamina.fs.spawn import PATH, wait
from lamina.runtime import bundle
from lamina.runtime.init import find_init
from lamina.runtime.isolation import Isolation, find_program, needed_program

_CODE = (
    "import sys; sys.path.append(sys.argv[1]); from monitor.program import main;"
    " main(int(sys.argv[2]))"
)
_FIRST_LOCK = 6
_WORDS = 256  # bytes of a report
_CHECK = "check.json"


class Keeping(NamedTuple):
    """What the monitor of a container keeps besides it.

    `record` is the file of the exit record, `log` that of the log (empty for none), bounded to
    `log_files` files of `log_size` bytes each (0: unbounded). `locks` are descriptors of locks to
    be held meanwhile. `finish` is executed at the end, in the mount namespace of the caller, which
    is its descriptor `OUTSIDE`. `journal` is the file of what it tells. `restart` is docker's
    policy, and how often at most a failing one is started again (0: ever).
    """

    record: str
    journal: str
    log: str = ""
    log_size: int = 0
    log_files: int = 1
    stdin_open: bool = False
    locks: tuple[int, ...] = ()
    finish: tuple[str, ...] = ()
    checking: "Checking | None" = None
    restart: str = "no 0"


class Checking(NamedTuple):
    """What is executed to see how it is; `plan` are seconds and a number as the monitor's Plan has
    them, `findings` the file for what is found.
    """

    args: tuple[str, ...]
    plan: tuple[float, float, float, float, int]
    findings: str


OUTSIDE = 5


def launch(job: Job, isolation: Isolation, keeping: Keeping, stdio: Stdio = QUIET) -> "Launch":
    """Prepare everything and start the monitor; nothing of the container runs yet.

    Raises as `lamina.execution.run.start`. `stdio` may be a terminal, for its size.
    """
    if isolation.name == "chroot":
        raise RuntimeFailure(
            "a detached container needs crun or runc, and this one would be run in a chroot",
            hint="install crun, or run it in the foreground",
        )
    check(job)
    refuse(job, isolation)
    refuse_impossible(job.process, isolation.name)
    with in_words():
        room = Room(job, can_group=True)
        try:
            init = find_init() if job.process.confinement.init else ""
            scene = inspect(job, room.folder, init)
            room.write_host_files(job)
            return _launched(job, scene, isolation, keeping, room, stdio)
        except BaseException:
            room.close()
            raise


def _launched(
    job: Job, scene: Scene, isolation: Isolation, keeping: Keeping, room: Room, stdio: Stdio
) -> "Launch":
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    command = _monitor_command(_FIRST_LOCK + len(room.locks) + len(keeping.locks))

    def work() -> _Monitor:
        monitor = _Monitor(command, (outside, *room.locks, *keeping.locks), room)
        try:
            _prepare(job, scene, isolation, room, stdio)
            if keeping.checking is not None:
                _write_check(job, scene, room, keeping.checking)
        except BaseException:
            monitor.give_up()
            raise
        return monitor

    try:
        monitor = in_private_namespace(work, _Monitor.give_up)
    finally:
        os.close(outside)
    try:
        monitor.ask(_request(job, isolation, keeping, room))
    except BaseException:
        monitor.give_up()
        raise
    return Launch(monitor, room, job.process.args[0])


def _prepare(job: Job, scene: Scene, isolation: Isolation, room: Room, stdio: Stdio) -> None:
    """Mount the root where the monitor sees it, and write the bundle."""
    attach(job.plan, room.root_path)
    make(room.enter(room.root_path), scene.system, [*scene.files, *scene.volumes])
    if not job.process.privileged:
        refuse_devices(room.root.fd, room.root_path)
    if isolation.cover:
        cover(isolation.cover)
    data = document(job, scene, isolation, room, stdio)
    write_file(room.path("config.json"), data, mode=0o600)


def _write_check(job: Job, scene: Scene, room: Room, checking: Checking) -> None:
    process = job.process._replace(args=checking.args, tty=False)
    host = host_for(process, room.group)
    data = bundle.process_document(process, scene.credentials, host, None)
    write_file(room.path(_CHECK), data, mode=0o600)


class Launch:
    """A monitor that has all it needs and waits for the word.

    `pid` and `start_time` (clock ticks since boot) name it; it lives as long as the container, and
    killing it kills the container. `attach_path` is the socket for those who attach.
    """

    def __init__(self, monitor: "_Monitor", room: Room, command: str) -> None:
        self.pid = monitor.pid
        self.start_time = monitor.start_time
        self.attach_path = room.path("attach")
        self._monitor = monitor
        self._room = room
        self._command = command

    def go(self) -> None:
        """Let the container start; returns when it runs.

        Raises `CommandNotFound`, `CommandNotExecutable` or another `RuntimeFailure`; nothing is
        left then.
        """
        try:
            words = self._monitor.go()
        except BaseException:
            self.give_up()
            raise
        if words == "started":
            self._room.leave()
            return
        said = last_error(self._room.path("log"))
        self.give_up()
        raise failure(said or "its monitor was killed", self._command)

    def give_up(self) -> None:
        """End it all, and wait until nothing is left."""
        self._monitor.give_up()
        self._room.close()


class _Monitor:
    """The process, and the pipes to and from it."""

    def __init__(self, command: list[str], held: tuple[int, ...], room: Room) -> None:
        self.pid = self.start_time = 0
        self._complaints = room.path("monitor.log")
        listening, self._line = os.pipe2(os.O_CLOEXEC)
        self._report, reporting = os.pipe2(os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        complaints = os.open(self._complaints, flags, 0o600)
        try:
            given = tuple(zip((listening, reporting, *held), range(3, 5 + len(held)), strict=True))
            stdio = Stdio(None, None, complaints)
            environment = {
                key: os.environ[key] for key in ("LAMINA_TEST_CRASH",) if key in os.environ
            }
            self._child = spawn(command, stdio, extra=given, environment=environment)
        except BaseException:
            os.close(self._line)
            os.close(self._report)
            raise
        finally:
            for each in (listening, reporting, complaints):
                os.close(each)

    def ask(self, request: bytes) -> None:
        """Say what is wanted, and wait until it is ready."""
        with suppress(BrokenPipeError):
            write_all(self._line, len(request).to_bytes(8, "big") + request)
        word, *facts = self._hear().split()
        if word != "begun":
            raise RuntimeFailure(f"the container's monitor could not start: {self._said()}")
        self.pid, self.start_time = map(int, facts)
        self._reap()

    def go(self) -> str:
        """Give the word; tells what became of it, nothing when the monitor was killed."""
        with suppress(BrokenPipeError):
            os.write(self._line, b"g")
        words = self._hear()
        if words == "started":
            self._close()
        return words

    def give_up(self) -> None:
        """End it, with all that it started, and wait for that."""
        self._close()
        self._reap()
        if self.pid:
            end(self.pid, self.start_time)

    def _hear(self) -> str:
        said = b""
        while not said.endswith(b"\n") and (more := os.read(self._report, _WORDS)):
            said += more
        return said.decode("ascii", "replace").strip() or "nothing"

    def _said(self) -> str:
        with open(self._complaints, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
        return lines[-1] if lines else "it was killed"

    def _reap(self) -> None:
        """What was started first only begins the monitor, and ends."""
        child, self._child = self._child, 0
        if child:
            wait(child)

    def _close(self) -> None:
        for descriptor in (self._line, self._report):
            if descriptor >= 0:
                os.close(descriptor)
        self._line = self._report = -1


def _monitor_command(count: int) -> list[str]:
    python = os.path.realpath(sys.executable) if sys.executable else find_program("python3")
    if python is None:
        raise ProgramMissing("there is no python3 for the monitor", hint="install python3")
    folder = os.path.dirname(os.path.dirname(program.__file__))
    inner = [python, "-I", "-S", "-c", _CODE, folder, str(count)]
    return [needed_program("unshare"), "--pid", "--", *inner]


def _request(job: Job, isolation: Isolation, keeping: Keeping, room: Room) -> bytes:
    fields = {
        "room": room.folder,
        "record": keeping.record,
        "log": keeping.log,
        "log_size": str(keeping.log_size),
        "log_files": str(keeping.log_files),
        "stdin": "open" if keeping.stdin_open else "null",
        "tty": "yes" if job.process.tty else "no",
        "path": PATH,
        "journal": keeping.journal,
        "restart": keeping.restart,
        "health": " ".join(map(str, keeping.checking.plan)) if keeping.checking else "",
        "findings": keeping.checking.findings if keeping.checking else "",
        "counters": ":".join(counters(room.name)) if room.group is not None else "",
    }
    # its address has 107 bytes: a name in the bundle, which both runtimes enter first
    console = ("--console-socket", "console") if job.process.tty else ()
    make_it = ("create", "--bundle", room.folder, "--pid-file", room.path("pid"), *console)
    state = room.state_dir(isolation.name)
    command = runtime(isolation, state, room.path("log"), in_group=room.group is not None)
    parts = (
        tuple(f"{key}={value}" for key, value in fields.items()),
        (*command, *make_it, room.name),
        (*command, "start", room.name),
        (*command, "delete", "--force", room.name),
        keeping.finish,
        _check_command(isolation, state, room) if keeping.checking is not None else (),
    )
    return b"\0\0".join(os.fsencode("\0".join(part)) for part in parts)


def _check_command(isolation: Isolation, state: str, room: Room) -> tuple[str, ...]:
    """What the runtime itself complains of is the check's output."""
    in_group = room.group is not None
    words = runtime(isolation, state, "/proc/self/fd/2", in_group=in_group)
    pid = ("--detach", "--pid-file", room.path("probe.pid"))
    return (*words, "exec", *pid, "--process", room.path(_CHECK), room.name)
