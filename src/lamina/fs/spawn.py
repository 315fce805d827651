"""Starting a program that inherits nothing but what it is given.

posix_spawn(3) throughout: the caller's process is never forked. Knows no program and no errors
but the kernel's.
"""

import fcntl
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple

# Every signal that a program can handle: Python ignores SIGPIPE and SIGXFSZ, a caller may ignore
# more, and what is ignored stays so across execve(2). 32 and 33 belong to the C library.
_SIGNALS = tuple(set(range(1, 65)) - {9, 19, 32, 33})
_ABOVE = 16  # descriptors from here on are nobody's target
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OUTPUT_LIMIT = 1 << 26  # bytes; a list of 100,000 names is an eighth of that


def spawn(
    args: list[str],
    given: Mapping[int, int | None],
    environment: Mapping[str, str] | None = None,
    *,
    deaf: bool = False,
) -> int:
    """Start `args[0]`, an absolute path; gives its process ID, which the caller waits for.

    `given` maps its descriptors to ours, None to the null device; it has no others. Its
    environment is `environment` and PATH, and its session its own: what a terminal sends to all
    of ours (Ctrl-C) does not reach it. One that is `deaf` has all signals blocked until it says
    otherwise. Raises OSError.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    above: list[tuple[int, int]] = []
    try:
        # Copied above every target first, so that no target is a source that is still wanted.
        for its, ours in given.items():
            source = null if ours is None else ours
            above.append((fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _ABOVE), its))
        return os.posix_spawn(
            args[0],
            args,
            {"PATH": PATH, **(environment or {})},
            file_actions=[(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in above],
            setsid=True,
            setsigdef=_SIGNALS,
            setsigmask=signal.valid_signals() if deaf else (),
        )
    finally:
        for ours, _ in above:
            os.close(ours)
        os.close(null)


def wait(pid: int) -> int:
    """How a child ended: its status as a shell shows it; 0 where another part of us reaped it."""
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def read_all(descriptor: int) -> bytes:
    """Everything until the end, bounded; the descriptor stays open."""
    data = bytearray()
    while len(data) < _OUTPUT_LIMIT and (more := os.read(descriptor, 1 << 16)):
        data += more
    return bytes(data)


class Said(NamedTuple):
    """What a program wrote, and its status."""

    status: int
    output: str
    errors: str


def run(
    args: list[str],
    held: tuple[int, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Said:
    """Run a program to its end, in the C locale; it has the descriptors `held` as 3, 4 ... too.

    Its environment is `environment`, beside PATH.

    Raises OSError when it cannot be started.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    try:
        given: dict[int, int | None] = {0: None, 1: writer, 2: errors}
        given.update(enumerate(held, 3))
        try:
            child = spawn(args, given, {"LC_ALL": "C", **(environment or {})})
        finally:
            os.close(writer)
        output = read_all(reader)
        status = wait(child)
        os.lseek(errors, 0, os.SEEK_SET)
        said = read_all(errors)
    finally:
        os.close(reader)
        os.close(errors)
    return Said(status, _text(output), _text(said))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").strip()
