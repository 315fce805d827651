"""What a container's process is started with and how it ended."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from lamina.errors import RuntimeFailure, UsageError
from lamina.fs.spawn import spawn as spawn_program


class Stdio(NamedTuple):
    """The descriptors that become the process's 0, 1 and 2; None is the null device."""

    stdin: int | None
    stdout: int | None
    stderr: int | None


class Exit(NamedTuple):
    """How a process ended: its status as a shell shows it (128 and the signal's number).

    `words` say why the kernel killed it, if it did.
    """

    code: int
    words: str = ""


QUIET = Stdio(None, None, None)


def spawn(
    args: list[str],
    stdio: Stdio,
    *,
    extra: tuple[tuple[int, int], ...] = (),
    deaf: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start `args[0]` with the three descriptors and `extra` pairs (ours, its); gives its ID.

    Its environment holds PATH and `environment` alone, and it has a session of its own: what a
    terminal sends to everybody (Ctrl-C) it gets once, from us. One that is `deaf` has all signals
    blocked until it says otherwise. Raises `RuntimeFailure`.
    """
    given: dict[int, int | None] = dict(enumerate(stdio))
    given.update((its, ours) for ours, its in extra)
    try:
        return spawn_program(args, given, environment, deaf=deaf)
    except OSError as error:
        raise RuntimeFailure(f"cannot execute {args[0]}: {error.strerror}") from error


def refuse_no_terminal(stdio: Stdio, isolation: str) -> None:
    """Raise `UsageError` where a command cannot be given a terminal.

    Input has to be a terminal's; crun gives a terminal also where there is no input.
    """
    if stdio.stdin is None and isolation == "crun":
        return
    if stdio.stdin is None or not os.isatty(stdio.stdin):
        raise UsageError("the input device is not a TTY", hint="leave out --tty (-t)")


def exit_of(status: int) -> Exit:
    """The exit that a wait(2) status means."""
    if os.WIFSIGNALED(status):
        return Exit(128 + os.WTERMSIG(status))
    return Exit(os.WEXITSTATUS(status))
