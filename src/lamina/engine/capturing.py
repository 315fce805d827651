"""A container run to its end, what it writes kept. Knows no container: only how one is started."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Self

from lamina.fs.atomic import write_all

if TYPE_CHECKING:  # what starts processes is loaded when one is started
    from lamina.execution.run import Running, Stdio

Start = Callable[["Stdio"], AbstractContextManager["Running"]]
"""Starts it with these descriptors; it is waited for when the block ends."""

_CHUNK = 1 << 16


class RunResult(NamedTuple):
    """How a container that was run to its end went: its status and what it wrote.

    `reason` says why the kernel killed it, if it did.
    """

    exit_code: int
    output: str
    errors: str
    reason: str = ""


def captured(start: Start, given: bytes) -> RunResult:
    """Run to the end with pipes, each emptied or filled by a thread of its own."""
    with _Pipe() as stdin, _Pipe() as stdout, _Pipe() as stderr:
        from lamina.execution.spawned import Stdio

        stdio = Stdio(stdin.read_end, stdout.write_end, stderr.write_end)
        with start(stdio) as running:
            stdin.close_read()
            stdout.close_write()
            stderr.close_write()
            threads = [
                Thread(target=work, daemon=True)
                for work in (lambda: stdin.fill(given), stdout.drain, stderr.drain)
            ]
            for thread in threads:
                thread.start()
            ended = running.wait()
            for thread in threads:
                thread.join()
    return RunResult(ended.code, stdout.text, stderr.text, ended.words)


class _Pipe:
    """Two descriptors, each closed once."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.text = ""

    def close_read(self) -> None:
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close_write(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def fill(self, data: bytes) -> None:
        try:
            write_all(self.write_end, data)
        except BrokenPipeError:
            pass  # the command did not want all of it
        finally:
            self.close_write()

    def drain(self) -> None:
        pieces = []
        while piece := os.read(self.read_end, _CHUNK):
            pieces.append(piece)
        self.text = b"".join(pieces).decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close_read()
        self.close_write()
