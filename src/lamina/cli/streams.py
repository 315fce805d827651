"""Standard input and output as the engine's streams, and the environment's epoch."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from lamina.errors import UsageError, from_oserror


class Stdin:
    """Standard input by its descriptor, so that nothing is read ahead."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        return os.read(self._fd, size)


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
def written(path: str | None) -> Iterator[Callable[[bytes], object]]:
    """A way to write an archive: to a file, or (None, `-`) to standard output.

    Raises `UsageError` when that is a terminal, and `StorageError`.
    """
    if path is not None and path != "-":
        with written_file(path) as write:
            yield write
        return
    if sys.stdout.isatty():
        raise UsageError(
            "an archive is not written to a terminal", hint="use --output or redirect it"
        )
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

    A link is followed; a device or a pipe is written to as it is. Where a file system has no
    nameless files, or another file is to be replaced, a kill may leave one that is called
    `<path>.<process ID>.tmp`.
    """
    path = os.path.realpath(path)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                yield file.write
            return
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            nameless = _nameless(folder)
            with open(temporary if nameless is None else nameless, "wb") as file:
                yield file.write
                file.flush()
                if nameless is not None and _named(nameless, folder, path, temporary):
                    return
            os.replace(temporary, path)
        finally:
            os.close(folder)
    except OSError as error:
        _unlink(temporary)
        raise from_oserror(error, "writing", path) from error
    except BaseException:
        _unlink(temporary)
        raise


def _nameless(folder: int) -> int | None:
    try:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def _named(nameless: int, folder: int, path: str, temporary: str) -> bool:
    """Give the file its name; where another has that, the temporary one, and False."""
    own = f"/proc/self/fd/{nameless}"  # which linkat(2) follows
    try:
        os.link(own, os.path.basename(path), dst_dir_fd=folder)
    except FileExistsError:
        os.link(own, os.path.basename(temporary), dst_dir_fd=folder)
        return False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
