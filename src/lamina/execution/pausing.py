"""Holding a running container still, so that what it wrote is read as of one moment.

By SIGSTOP and SIGCONT, which need no cgroup and which no process can refuse. A guard (a shell that
reads a pipe) is told of each process before it is stopped; when the pipe closes, because the
reading is done or because we were killed, the guard lets them all go on. Knows no layer.
"""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from lamina.errors import RuntimeFailure
from lamina.execution.family import Family
from lamina.execution.spawned import Stdio, spawn
from lamina.fs.atomic import write_all
from lamina.fs.spawn import wait
from lamina.runtime.isolation import needed_program

_PATIENCE = 5.0  # seconds for all to stop
_BLOCKED_PATIENCE = 0.5  # seconds for what waits in the kernel: for a disk, or a stopped child
_STEP = 0.001  # seconds between two looks
_STOPPED = frozenset("TtZX")  # proc(5): stopped, traced, and the ways of being dead
_BLOCKED = "D"  # in a system call that nothing ends; stops before it returns to its program
_GUARD = 'while read -r some; do all="$all $some"; done; kill -CONT $all 2>/dev/null; exit 0'
_BATCH = 256  # processes of which the guard is told at once: the shell copies what it knows


@contextmanager
def paused(holder: int) -> Iterator[None]:
    """Keep everything of a container stopped while the block runs; `holder` is `Running.pid`.

    What had stopped before stays so. Raises `RuntimeFailure` when something cannot be stopped.
    """
    family = Family(holder)
    guard = _Guard(family)
    try:
        _stop_all(family, guard)
        yield
    finally:
        guard.release()


def hold(holder: int) -> None:
    """Stop everything of a container until `let_go`; what fails lets all go on.

    Raises `RuntimeFailure` when something cannot be stopped.
    """
    family = Family(holder)
    try:
        _stop_all(family, _Stopper(family))
    except BaseException:
        let_go(holder)
        raise


def let_go(holder: int) -> None:
    """Let everything of a container go on."""
    for pid in Family(holder).members():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class _Stops(Protocol):
    def stop(self, pids: Sequence[int]) -> None:
        """Stop processes."""


class _Stopper:
    """Stops, and answers for nothing."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def stop(self, pids: Sequence[int]) -> None:
        """Stop processes."""
        for pid in pids:
            _stop(pid, self._family)


class _Guard:
    """The process that lets the stopped ones go on, whatever becomes of us."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._told: set[int] = set()
        reader, self._line = os.pipe2(os.O_CLOEXEC)
        try:
            command = [needed_program("sh"), "-c", _GUARD]
            self._pid = spawn(command, Stdio(reader, None, None))
        except BaseException:
            os.close(self._line)
            raise
        finally:
            os.close(reader)

    def stop(self, pids: Sequence[int]) -> None:
        """Stop processes, and answer for their going on."""
        for at in range(0, len(pids), _BATCH):
            self._stop_batch(pids[at : at + _BATCH])

    def _stop_batch(self, pids: Sequence[int]) -> None:
        new = [pid for pid in pids if pid not in self._told]
        try:
            if new:
                write_all(self._line, " ".join(map(str, new)).encode() + b"\n")
        except OSError as error:
            raise RuntimeFailure(f"cannot pause the container: {error.strerror}") from error
        self._told.update(new)
        for pid in pids:
            _stop(pid, self._family)

    def release(self) -> None:
        """Let all go on, and wait until they were told; by ourselves where the guard is gone."""
        os.close(self._line)
        if wait(self._pid) != 0:
            for pid in self._told:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGCONT)


def _stop(pid: int, family: Family) -> None:
    """Stop a process, unless its ID is another's by now: what is held is what is asked about."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if family.holds(pid):
            signal.pidfd_send_signal(handle, signal.SIGSTOP)
    except ProcessLookupError:
        pass  # it ended by itself
    except PermissionError as error:
        raise RuntimeFailure(
            f"cannot pause the container: process {pid}: {error.strerror}",
            hint="commit it with --pause=false",
        ) from error
    finally:
        os.close(handle)


def _stop_all(family: Family, guard: _Stops) -> None:
    """Until two looks find the same processes and none that moves.

    One look is not enough: between its list and its last question, one who was about to stop may
    have started another.
    """
    began = time.monotonic()
    still: frozenset[int] | None = None
    while True:
        here = {pid: _moves(pid) for pid in family.members()}
        moving = {pid: state for pid, state in here.items() if state}
        if not moving and here.keys() == still:
            return
        still = None if moving else frozenset(here)
        if not moving:
            continue
        guard.stop(tuple(moving))  # also one that was stopped, and which another has let go on
        waited = time.monotonic() - began
        if set(moving.values()) == {_BLOCKED} and waited > _BLOCKED_PATIENCE:
            return
        if waited > _PATIENCE:
            raise RuntimeFailure(
                f"cannot pause the container: process {min(moving)} does not stop",
                hint="commit it with --pause=false",
            )
        select.select((), (), (), _STEP)


def _moves(pid: int) -> str:
    """The state of a thread that has not stopped; empty when all have, or there is none left.

    A blocked one stands for its process only when no other thread runs.
    """
    found = ""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            state = _state(f"/proc/{pid}/task/{task}/stat")
            if state not in _STOPPED and found in ("", _BLOCKED):
                found = state
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return found


def _state(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return "X"
