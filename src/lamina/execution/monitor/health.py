"""The health check of one container: executed again and again by its monitor, and judged.

One check at a time: the runtime starts it (`exec --detach`) and ends; its process is then the
monitor's child, as all of the container's are, so that its exit status comes with theirs. What it
writes is kept up to docker's bound, the rest thrown away. A check that takes too long is killed.

What is found is written to a file anew each time (lamina.containers.health reads it).
"""

import os
import signal
import time
from _collections_abc import Callable

_KEPT = 4096  # bytes of what a check wrote, as docker
_CHUNK = 1 << 16
_LOG = 5  # checks that are remembered
_GRACE = 10.0  # seconds for a runtime that has taken too long already
_NEVER = -1  # docker's exit status of what could not be executed, or took too long


class Plan:
    """How often and how long, in seconds, and after how many failures it counts; `path` is for
    what is found, `pid_path` where the runtime writes the check's process ID.
    """

    def __init__(self, words: list[str], path: str, pid_path: str, mark: str) -> None:
        interval, timeout, period, start_interval, retries = words
        self.interval, self.timeout = float(interval), float(timeout)
        self.start_period, self.start_interval = float(period), float(start_interval)
        self.retries = int(retries)
        self.path, self.pid_path, self.pause_mark = path, pid_path, mark


class Health:
    """`spawn` starts the runtime with a descriptor for what is written; `tell` tells of events."""

    def __init__(
        self, plan: Plan, spawn: Callable[[int], int], tell: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._spawn = spawn
        self._tell = tell
        self._log: list[str] = []
        self.output = -1  # where what a check writes comes from
        self._said = b""
        self.begin()

    def begin(self) -> None:
        """The container has just started."""
        self._status, self._streak = "starting", 0
        self._started = time.monotonic()
        self.stop()
        self._write()

    def stop(self) -> None:
        """The container has ended, with whatever checked it."""
        self._runner = self._probe = 0
        self._is_late = False
        self._unclaimed: dict[int, int] = {}  # statuses of whom we may be waiting for
        self._close()
        self._due = time.monotonic() + self._pause()

    @property
    def patience(self) -> float:
        """Seconds until `turn` has something to do."""
        return max(0.0, self._due - time.monotonic())

    def turn(self, ended: dict[int, int]) -> None:
        """Do what is due; `ended` are the processes that were reaped just now, with statuses."""
        if self._is_checking:
            self._unclaimed.update(ended)
            self._follow()
        if time.monotonic() < self._due:
            return
        if self._runner and not self._is_late:  # whom it has started is known when it ends
            self._is_late = True
            self._due = time.monotonic() + _GRACE
        elif self._is_checking:
            self._give_up()
        else:
            self._begin_check()

    @property
    def _is_checking(self) -> bool:
        return bool(self._runner or self._probe)

    def read(self) -> None:
        """Take up what a check has written."""
        try:
            data = os.read(self.output, _CHUNK)
        except OSError:
            return
        self._said += data[: _KEPT - len(self._said)]
        if not data:
            self._close()

    def _begin_check(self) -> None:
        if os.path.exists(self._plan.pause_mark):
            self._due = time.monotonic() + self._pause()
            return
        self.output, its = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.output, False)
        self._said, self._unclaimed, self._is_late = b"", {}, False
        self._began = time.time()
        self._due = time.monotonic() + self._plan.timeout
        try:
            self._runner = self._spawn(its)
        except OSError as error:
            self._judge(_NEVER, str(error).encode())
        finally:
            os.close(its)

    def _follow(self) -> None:
        """Learn whose status is the check's: that of the runtime, or of whom it has started."""
        if self._runner:
            status = self._unclaimed.pop(self._runner, None)
            if status is None:
                return
            self._runner = 0
            if status:
                self._judge(_NEVER)
                return
            try:
                with open(self._plan.pid_path, encoding="ascii") as file:
                    self._probe = int(file.read())
            except (OSError, ValueError) as error:
                self._judge(_NEVER, str(error).encode())
                return
            if self._is_late:
                self._give_up()
                return
        status = self._unclaimed.pop(self._probe, None)
        if status is not None:
            killed = os.WIFSIGNALED(status)
            self._judge(128 + os.WTERMSIG(status) if killed else status >> 8)

    def _give_up(self) -> None:
        for pid in (self._runner, self._probe):
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self._said = b"Health check exceeded timeout (%gs)" % self._plan.timeout
        self._close()
        self._judge(_NEVER)

    def _judge(self, code: int, words: bytes = b"") -> None:
        """Note how a check went, and what that makes of the container's health."""
        while self.output >= 0 and self._has_more():
            pass
        said = self._said or words
        self._close()
        self._runner = self._probe = 0
        line = f"{self._began:.6f} {time.time():.6f} {code} {said.hex()}"
        self._log = [*self._log, line][-_LOG:]
        before = self._status
        if code == 0:
            self._status, self._streak = "healthy", 0
        elif before != "starting" or not self._is_starting:
            self._streak += 1
            if self._streak >= self._plan.retries:
                self._status = "unhealthy"
        self._due = time.monotonic() + self._pause()
        self._write()
        if self._status != before:
            self._tell(f"health_status: {self._status}")

    def _has_more(self) -> bool:
        before = len(self._said)
        self.read()
        return self.output >= 0 and before < len(self._said) < _KEPT

    @property
    def _is_starting(self) -> bool:
        return time.monotonic() - self._started < self._plan.start_period

    def _pause(self) -> float:
        soon = self._status == "starting" and self._is_starting
        return self._plan.start_interval if soon else self._plan.interval

    def _close(self) -> None:
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def _write(self) -> None:
        """Put the findings in their place; on a full disk the old ones stay."""
        text = "\n".join([f"{self._status} {self._streak}", *self._log]) + "\n"
        new = f"{self._plan.path}.new"
        try:
            descriptor = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
            os.rename(new, self._plan.path)
        except OSError:
            pass
