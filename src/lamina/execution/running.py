"""A started process: to be signalled, killed, and waited for."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol

from lamina.errors import LaminaError, RuntimeFailure, from_oserror
from lamina.execution.spawned import Exit, exit_of


class Tie(Protocol):
    """What everything that was started hangs on."""

    def cut(self) -> None:
        """Let it all be killed; does not wait."""

    def end(self) -> None:
        """Let it all be killed and wait until it is."""

    def resize(self, size: os.terminal_size) -> None:
        """Tell the command that its terminal has another size."""


class Closes(Protocol):
    """What is given up last."""

    def close(self) -> None:
        """Give it up."""


class Running:
    """A process that was started; whoever started it has to wait for it.

    `pid` lives as long as anything of the container does, and killing it kills all of that.
    """

    def __init__(
        self, pid: int, child: int, tie: Tie, room: Closes, judge: Callable[[Exit], Exit]
    ) -> None:
        """`child` is what ends as the command ends; `judge` may raise for how it did."""
        self.pid = pid
        self._child = child
        self._tie = tie
        self._room = room
        self._judge = judge
        self._waiting = threading.Lock()
        self._sending = threading.RLock()  # a signal handler comes while its own thread waits
        self._reaped = False
        self._result: Exit | None = None
        self._error: BaseException | None = None

    @property
    def child(self) -> int:
        """The process that ends as the command ends; it is ours until it is waited for."""
        return self._child

    def signal(self, number: int) -> None:
        """Send the command a signal; nothing once it has ended."""
        if number == signal.SIGKILL:
            self.kill()
            return
        with self._sending:
            if not self._reaped:
                os.kill(self._child, number)

    def resize(self, size: os.terminal_size) -> None:
        """Give the container's terminal another size; nothing once the command has ended."""
        with self._sending:
            if not self._reaped:
                self._tie.resize(size)

    def kill(self) -> None:
        """Kill the command and all that it started; `wait` then tells 137."""
        with self._sending:
            if not self._reaped:
                self._tie.cut()

    def wait(self) -> Exit:
        """Wait until nothing is left of it; the same answer however often it is asked.

        Raises `RuntimeFailure` (its kinds) when the command could not be started after all. An
        interrupted wait kills it.
        """
        with self._waiting:
            if self._result is None and self._error is None:
                self._finish()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _finish(self) -> None:
        try:
            self._await_child()
        except BaseException:
            self.kill()
            self._await_child()
            self._close(self._reap())
            raise
        self._close(self._reap())

    def _await_child(self) -> None:
        try:
            os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # reaped behind our back; said by _reap

    def _reap(self) -> int | None:
        """Under the lock, so that no signal goes to a process ID that may be another's."""
        with self._sending:
            self._reaped = True
            try:
                return os.waitpid(self._child, 0)[1]
            except ChildProcessError:
                return None

    def _close(self, status: int | None) -> None:
        try:
            with self._sending:
                self._tie.end()
            if status is None:
                raise RuntimeFailure(
                    "the container's exit status is lost: another part of this process took it",
                    hint="do not ignore SIGCHLD or wait for all children while it runs",
                )
            self._result = self._judge(exit_of(status))
        except BaseException as error:  # noqa: BLE001 - every wait raises it
            self._error = error
        finally:
            self._clear()

    def _clear(self) -> None:
        try:
            self._room.close()
        except OSError as error:
            failure = from_oserror(error, "taking a container's mount points out of its layer")
            self._error = self._error or failure
        except LaminaError as error:
            self._error = self._error or error
