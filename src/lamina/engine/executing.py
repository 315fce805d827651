"""A command executed in a container to its end, what it writes kept within bounds."""

import os
import select
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from lamina.execution.running import Running
from lamina.execution.spawned import Stdio

_CHUNK = 1 << 16
_HELD = 1 << 17  # bytes; a pipe holds half of that


class ExecResult(NamedTuple):
    """How it went: its exit status as a shell shows it, and the bytes that it wrote.

    `truncated`: it wrote more than was to be kept. `timed_out`: it was killed for the time it
    took; its status is then 137.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    timed_out: bool = False

    @property
    def output(self) -> str:
        """Its standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        """Its standard error as text."""
        return self.stderr.decode("utf-8", "replace")


def captured(
    start: Callable[[Stdio], AbstractContextManager[Running]],
    given: bytes,
    timeout: float | None,
    limit: int,
) -> ExecResult:
    """Run what `start` starts to its end, on the calling thread alone."""
    with ExitStack() as ending:
        pipes = _Pipes(ending, given)
        with start(pipes.theirs()) as running:
            pipes.begin()
            timed_out = not pipes.pump(running.child, timeout, limit)
            if timed_out:
                running.kill()
            code = running.wait().code
            pipes.drain(limit)
        stdout, stderr = pipes.kept
    truncated = len(stdout) > limit or len(stderr) > limit
    return ExecResult(code, bytes(stdout[:limit]), bytes(stderr[:limit]), truncated, timed_out)


class _Pipes:
    """The three of them; ours never block."""

    def __init__(self, ending: ExitStack, given: bytes) -> None:
        self._open: set[int] = set()
        ending.callback(self._close_all)
        stdin, self._input = self._pipe()
        self._output, stdout = self._pipe()
        self._errors, stderr = self._pipe()
        self._their = (stdin, stdout, stderr)
        self._given = memoryview(given)
        self.kept = (bytearray(), bytearray())
        for each in (self._input, self._output, self._errors):
            os.set_blocking(each, False)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._open.update(ends)
        return ends

    def theirs(self) -> Stdio:
        """The command's ends."""
        return Stdio(*self._their)

    def begin(self) -> None:
        """Close the command's ends: it has them by now."""
        for each in self._their:
            self._close(each)
        if not self._given:
            self._close(self._input)

    def pump(self, child: int, timeout: float | None, limit: int) -> bool:
        """Feed and empty them until the child has ended; False when that took too long."""
        deadline = None if timeout is None else time.monotonic() + timeout
        handle = os.pidfd_open(child)
        self._open.add(handle)
        while True:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            for each in (self._output, self._errors):
                if each in self._open:
                    poller.register(each, select.POLLIN)
            if self._input in self._open:
                poller.register(self._input, select.POLLOUT)
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in poller.poll(left)}
            if not ready:
                return False
            self._serve(ready, limit)
            if handle in ready:
                return True

    def _serve(self, ready: set[int], limit: int) -> None:
        for descriptor, kept in zip((self._output, self._errors), self.kept, strict=True):
            if descriptor in ready:
                self._take(descriptor, kept, limit)
        if self._input in ready:
            self._feed()

    def _take(self, descriptor: int, kept: bytearray, limit: int) -> bool:
        """What is beyond the limit is read, and thrown away but for one byte."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._close(descriptor)
            return False
        kept += data[: limit + 1 - len(kept)] if len(kept) <= limit else b""
        return True

    def _feed(self) -> None:
        try:
            self._given = self._given[os.write(self._input, self._given[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._given = memoryview(b"")  # it did not want all of it
        if not self._given:
            self._close(self._input)

    def drain(self, limit: int) -> None:
        """Take what is left: no more than a pipe holds, for others may still be writing."""
        for descriptor, kept in zip((self._output, self._errors), self.kept, strict=True):
            for _ in range(_HELD // _CHUNK):
                if descriptor not in self._open or not self._take(descriptor, kept, limit):
                    break

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)

    def _close_all(self) -> None:
        for descriptor in list(self._open):
            self._close(descriptor)
