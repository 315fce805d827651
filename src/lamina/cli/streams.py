"""Standard input and output as the engine's streams, and the environment's epoch."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from lamina.errors import UsageError, from_oserror
from lamina.fs.newfile import new_file


class Stdin:
    """Standard input by its descriptor, so that nothing is read ahead.

    Whoever waits for it can be told to wait no more: a pipe may never end.
    """

    def __init__(self, descriptor: int) -> None:
        from select import POLLIN, poll  # of those who read it alone

        self._fd = descriptor
        self._told = os.eventfd(0, os.EFD_CLOEXEC)
        self._either = poll()
        for each in (descriptor, self._told):
            self._either.register(each, POLLIN)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ready = [number for number, _ in self._either.poll()]
        return b"" if self._told in ready else os.read(self._fd, size)

    def cancel(self) -> None:
        """Let this be the end; for any thread."""
        os.eventfd_write(self._told, 1)


def stdin_stream(stdin: BinaryIO) -> Stdin:
    """Standard input as a stream; raises `UsageError` when it is a terminal."""
    if stdin.isatty():
        raise UsageError("standard input is a terminal, and an archive is expected there")
    return Stdin(stdin.fileno())


def source_date_epoch(environ: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH in seconds, if it is set; raises `UsageError` when it is no number."""
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isdigit() or len(text) > 12:
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, and a number of seconds is expected")
    return int(text)


@contextmanager
def written(path: str | None, what: str = "an archive") -> Iterator[Callable[[bytes], object]]:
    """A way to write an archive: to a file, or (None, `-`) to standard output.

    Raises `UsageError` when that is a terminal, unless it is text ("") that goes there, and
    `StorageError`.
    """
    if path is not None and path != "-":
        with written_file(path) as write:
            yield write
        return
    if what and sys.stdout.isatty():
        raise UsageError(f"{what} is not written to a terminal", hint="use --output or redirect it")
    yield _to_stdout


def _to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise from_oserror(error, "writing to", "standard output") from error


@contextmanager
def written_file(path: str) -> Iterator[Callable[[bytes], object]]:
    """A way to write a file that is complete or not there at all, whatever ends us meanwhile.

    A device or a pipe is written to as it is. Raises `StorageError`.
    """
    path = os.path.realpath(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                yield file.write
            return
    except OSError as error:
        raise from_oserror(error, "writing", path) from error
    with new_file(path) as descriptor, open(descriptor, "wb", closefd=False) as file:
        yield file.write
