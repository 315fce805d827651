"""Runs a command and measures it: seconds by the wall, or the most memory it held.

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


class Failed(Exception):
    """A measured or a preparing command failed; the text holds its last words."""


def timed(argv: list[str], env: Mapping[str, str], *, stdin: str = os.devnull) -> float:
    """Run `argv` to its end; seconds by the wall. Raises `Failed` when it does not succeed.

    Its output goes to a file, so that no pipe slows it.
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
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        seconds = time.perf_counter() - begun
        if status != 0:
            output.seek(0)
            words = output.read().decode(errors="replace").strip().splitlines()[-5:]
            code = os.waitstatus_to_exitcode(status)
            raise Failed(f"{' '.join(argv)}: status {code}\n  " + "\n  ".join(words))
    return seconds


# A process starts with its parent's peak (exec keeps ru_maxrss), so a small one has to start it.
_MONITOR = """
import os, sys
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as result:
    result.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak(argv: list[str], env: Mapping[str, str], *, stdin: str) -> int:
    """Run `argv` to its end; the most resident memory it held, in bytes (at least some 9 MB)."""
    with tempfile.NamedTemporaryFile("r") as result:
        small = [sys.executable, "-I", "-S", "-c", _MONITOR, result.name]
        timed([*small, *argv], env, stdin=stdin)
        return int(result.read())


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
