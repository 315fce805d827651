"""Starting a program so that it inherits nothing but what it is given, and dies with us."""

import fcntl
import os
import signal
from typing import NamedTuple

from lamina.runtime.isolation import find_program


class Stdio(NamedTuple):
    """The descriptors that become the process's 0, 1 and 2; None is the null device."""

    stdin: int | None
    stdout: int | None
    stderr: int | None


class Exit(NamedTuple):
    """How a process ended: its status as a shell shows it (128 and the signal's number)."""

    code: int


def spawn(args: list[str], stdio: Stdio, *, extra: tuple[tuple[int, int], ...] = ()) -> int:
    """Start `args[0]` with the three descriptors and `extra` pairs (ours, its); gives its ID.

    It is killed when the spawning thread dies, where util-linux's setpriv is there to arrange it.
    """
    setpriv = find_program("setpriv")
    command = [setpriv, "--pdeathsig", "KILL", "--", *args] if setpriv is not None else args
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        given = [null if each is None else each for each in stdio]
        moves = [(ours, its) for its, ours in enumerate(given)] + list(extra)
        return _spawn(command, moves)
    finally:
        os.close(null)


def _spawn(command: list[str], moves: list[tuple[int, int]]) -> int:
    # Copied above every target first, so that no target is a source that is still wanted.
    above = [(fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 16), its) for ours, its in moves]
    try:
        return os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in above],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them; a command must not
        )
    finally:
        for ours, _ in above:
            os.close(ours)


def wait(pid: int) -> Exit:
    """Wait for a child of ours to end."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return Exit(128 + os.WTERMSIG(status))
    return Exit(os.WEXITSTATUS(status))


def children(pid: int) -> list[int]:
    """The children of a process (proc(5), task/<tid>/children); the process itself without any."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()] or [pid]
    except OSError:
        return [pid]
