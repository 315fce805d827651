"""One more process in a container that runs, by the OCI runtime that started it.

The runtime is called where the container is kept: in the mount and process namespace of its keeper
(its monitor, or whoever holds one in the foreground), which a private thread enters. It knows the
process by descriptors alone; nothing is written to a disk.

The container's own seccomp filter, control group and namespaces are the runtime's business.
"""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from lamina.errors import NotRunning, RuntimeFailure, hint_of
from lamina.execution.family import kill_descendants
from lamina.execution.inside import resize_terminal
from lamina.execution.running import Running
from lamina.execution.runtimes import failure, host_for, last_error, runtime, terminal_size
from lamina.execution.spawned import Exit, Stdio, refuse_no_terminal, spawn
from lamina.execution.workdir import check_cwd
from lamina.fs.private import on_private_thread
from lamina.fs.processes import start_time
from lamina.fs.tree import FlatTree
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, CLONE_NEWPID, setns, unshare
from lamina.runtime import bundle
from lamina.runtime.isolation import Isolation, needed_program
from lamina.runtime.process import Process
from lamina.runtime.program import check_program
from lamina.runtime.users import acting_as

if TYPE_CHECKING:  # what passes a terminal on is loaded where there is one
    from lamina.execution.console import Console

_PROCESS, _LOG, _CONSOLE = 3, 4, 5  # descriptors that the runtime gets
_RUNTIMES = ("crun", "runc")


class Kept(NamedTuple):
    """A running container: what keeps it, since when, where its room is, and its open root."""

    container_id: str
    keeper: int
    began: int
    run_dir: str
    root: int

    @property
    def room(self) -> str:
        """The folder of its start."""
        return os.path.join(self.run_dir, self.container_id)


def execute(kept: Kept, process: Process, stdio: Stdio, *, detach: bool = False) -> Running:
    """Start a process in a container; it has to be waited for.

    With `detach` what is waited for is its start. Raises `CommandNotFound`,
    `CommandNotExecutable`, another `RuntimeFailure`, `NotRunning`, or `UsageError`.
    """
    isolation = _isolation(kept)
    if process.tty and not detach:
        refuse_no_terminal(stdio, isolation.name)
    try:
        return _execute(kept, process, stdio, isolation, detach=detach)
    except OSError as error:
        raise RuntimeFailure(
            f"cannot execute a command in the container: {error.strerror or error}",
            hint=hint_of(error),
        ) from error


def _execute(
    kept: Kept, process: Process, stdio: Stdio, isolation: Isolation, *, detach: bool
) -> Running:
    document = _document(kept, process, stdio)
    with ExitStack() as ending:
        described = _memory(ending, "process", document)
        log = os.memfd_create("log", os.MFD_CLOEXEC)
        console = None
        try:
            if process.tty and not detach:
                console = _console(kept, isolation, stdio)
            score = process.limits.oom_score_adj
            command = _command(
                kept, isolation, score, detach=detach, gives_terminal=console is not None
            )
            child = _started(kept, command, stdio, (described, log), console)
        except BaseException:
            os.close(log)
            if console is not None:
                console.close()
            raise
    return Running(child, child, _Tie(child, console), _Log(log), _judge(log, process.args[0]))


def _console(kept: Kept, isolation: Isolation, stdio: Stdio) -> "Console | None":
    """runc passes its terminal on to the end, and gives it away only when it does not wait."""
    if isolation.name != "crun":
        return None
    from lamina.execution.console import Console  # few need it

    return Console(kept.room, stdio)


def _started(
    kept: Kept,
    command: list[str],
    stdio: Stdio,
    given: tuple[int, int],
    console: "Console | None",
) -> int:
    """The runtime, which has the descriptors `given`, with somebody who takes its terminal."""
    extra = tuple(zip(given, (_PROCESS, _LOG), strict=True))
    if console is None:
        return _in_its_namespaces(kept, command, stdio, extra)
    stdio = Stdio(None, None, stdio.stderr)
    child = _in_its_namespaces(kept, command, stdio, (*extra, (console.end, _CONSOLE)))
    try:
        console.listen()
    except BaseException:
        _give_up(child)
        raise
    return child


def _document(kept: Kept, process: Process, stdio: Stdio) -> bytes:
    """Everything looked at beforehand in the root as the container has it now."""
    tree = FlatTree(os.dup(kept.root))
    try:
        credentials = acting_as(tree, process.user, process.confinement.groups)
        check_program(tree, process, (b"proc", b"sys", b"dev"))
        check_cwd(tree, process.cwd)
    finally:
        tree.close()
    size = terminal_size(stdio) if process.tty else None
    return bundle.process_document(process, credentials, host_for(process), size)


def _isolation(kept: Kept) -> Isolation:
    """The runtime that keeps a state of it."""
    for name in _RUNTIMES:
        if os.path.isdir(os.path.join(kept.run_dir, name, kept.container_id)):
            return Isolation(name, needed_program(name), "", "it started the container")
    raise RuntimeFailure(
        "a command can be executed only in a container that crun or runc started",
        hint="if it is starting, try again; one in a chroot cannot be entered",
    )


def _command(
    kept: Kept, isolation: Isolation, score: int, *, detach: bool, gives_terminal: bool
) -> list[str]:
    state = os.path.join(kept.run_dir, isolation.name)
    log = f"/proc/self/fd/{_LOG}"
    in_group = os.path.exists(os.path.join(kept.room, "group"))
    words = [*runtime(isolation, state, log, in_group=in_group, score=score), "exec"]
    if detach:
        words.append("--detach")
    if gives_terminal:
        words += ["--console-socket", f"/proc/self/fd/{_CONSOLE}"]
    return [*words, "--process", f"/proc/self/fd/{_PROCESS}", kept.container_id]


def _in_its_namespaces(
    kept: Kept, command: list[str], stdio: Stdio, extra: tuple[tuple[int, int], ...]
) -> int:
    with ExitStack() as ending:
        spaces = [_namespace(ending, kept, name) for name in ("mnt", "pid")]
        if start_time(kept.keeper) != kept.began:
            raise NotRunning("the container has just ended")

        def work() -> int:
            unshare(CLONE_FS)
            setns(spaces[0], CLONE_NEWNS)
            setns(spaces[1], CLONE_NEWPID)
            environment = {"_LIBCONTAINER_STATEDIR": kept.room}
            return spawn(command, stdio, extra=extra, environment=environment)

        return on_private_thread(work, _give_up)


def _give_up(child: int) -> None:
    kill_descendants(child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _namespace(ending: ExitStack, kept: Kept, name: str) -> int:
    try:
        descriptor = os.open(f"/proc/{kept.keeper}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotRunning("the container has just ended") from None
    ending.callback(os.close, descriptor)
    return descriptor


def _memory(ending: ExitStack, name: str, data: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    ending.callback(os.close, descriptor)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class _Log(NamedTuple):
    """What the runtime says of itself."""

    fd: int

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def _judge(log: int, command: str) -> Callable[[Exit], Exit]:
    def judge(result: Exit) -> Exit:
        words = last_error(f"/proc/self/fd/{log}") if result.code else ""
        if words:
            raise failure(words, command)
        return result

    return judge


class _Tie(NamedTuple):
    """The process and what it started; `child` is the runtime, which waits for it."""

    child: int
    console: "Console | None"

    def cut(self) -> None:
        """Kill it, and all that it started and did not let go; does not wait."""
        kill_descendants(self.child)

    def end(self) -> None:
        """It has ended; what it left behind belongs to the container, and its words to us."""
        if self.console is not None:
            self.console.finish()

    def resize(self, size: os.terminal_size) -> None:
        """Give its terminal another size."""
        resize_terminal(self.child, size)
