"""Starting a program that inherits nothing but what it is given.

posix_spawn(3) throughout: the caller's process is never forked.
"""

import fcntl
import os
from typing import NamedTuple

from lamina.errors import RuntimeFailure

# Every signal that a program can handle: Python ignores SIGPIPE and SIGXFSZ, a caller may ignore
# more, and what is ignored stays so across execve(2). 32 and 33 belong to the C library.
_SIGNALS = tuple(set(range(1, 65)) - {9, 19, 32, 33})
_ABOVE = 16  # descriptors from here on are nobody's target
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Stdio(NamedTuple):
    """The descriptors that become the process's 0, 1 and 2; None is the null device."""

    stdin: int | None
    stdout: int | None
    stderr: int | None


class Exit(NamedTuple):
    """How a process ended: its status as a shell shows it (128 and the signal's number)."""

    code: int


QUIET = Stdio(None, None, None)


def spawn(args: list[str], stdio: Stdio, *, extra: tuple[tuple[int, int], ...] = ()) -> int:
    """Start `args[0]` with the three descriptors and `extra` pairs (ours, its); gives its ID.

    Its environment holds PATH alone. Raises `RuntimeFailure`.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    above: list[tuple[int, int]] = []
    try:
        given = [null if each is None else each for each in stdio]
        # Copied above every target first, so that no target is a source that is still wanted.
        for ours, its in [*zip(given, range(3), strict=True), *extra]:
            above.append((fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, _ABOVE), its))
        return os.posix_spawn(
            args[0],
            args,
            _ENVIRONMENT,
            file_actions=[(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in above],
            setsigdef=_SIGNALS,
            setsigmask=(),
        )
    except OSError as error:
        raise RuntimeFailure(f"cannot execute {args[0]}: {error.strerror}") from error
    finally:
        for ours, _ in above:
            os.close(ours)
        os.close(null)


def exit_of(status: int) -> Exit:
    """The exit that a wait(2) status means."""
    if os.WIFSIGNALED(status):
        return Exit(128 + os.WTERMSIG(status))
    return Exit(os.WEXITSTATUS(status))
