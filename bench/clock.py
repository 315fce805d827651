"""Runs a command and measures it: seconds by the wall, and the most memory it held.

Knows no contender and no scenario.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Failed(Exception):
    """A measured or a preparing command failed; the text holds its last words."""


class Sample(NamedTuple):
    """One run: wall-clock `seconds` and `peak` resident bytes (wait4's ru_maxrss)."""

    seconds: float
    peak: int


def timed(argv: list[str], env: Mapping[str, str], *, stdin: str = os.devnull) -> Sample:
    """Run `argv` to its end; raises `Failed` when it does not succeed.

    Started by posix_spawn, so the child's peak does not begin with this process's own memory
    beyond a few megabytes; its output goes to a file, so that no pipe slows it.
    """
    with tempfile.TemporaryFile() as output, open(stdin, "rb") as source:
        actions = [
            (os.POSIX_SPAWN_DUP2, source.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        begun = time.perf_counter()
        child = os.posix_spawnp(argv[0], argv, dict(env), file_actions=actions)
        try:
            _, status, usage = os.wait4(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        seconds = time.perf_counter() - begun
        if status != 0:
            output.seek(0)
            words = output.read().decode(errors="replace").strip().splitlines()[-5:]
            raise Failed(f"{' '.join(argv)}: status {status}\n  " + "\n  ".join(words))
    return Sample(seconds, usage.ru_maxrss * 1024)


def output_of(argv: list[str], env: Mapping[str, str] | None = None) -> str:
    """What a command prints, stripped; raises `Failed`."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def tidy_exit() -> Iterator[None]:
    """Let an interruption by SIGTERM or SIGHUP unwind as Ctrl-C does, clean-up included."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
