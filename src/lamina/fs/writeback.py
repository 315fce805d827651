"""Writing to disk what was just written, while more is being written.

The barrier at the end of an import then finds little left to do. Knows when to begin and that an
error counts; not what is written.
"""

import os
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from lamina.errors import from_oserror
from lamina.kernel.ioctl import syncfs

_STEP = 32 << 20  # bytes after which it is worth another start


class Writeback:
    """Keeps a file system's dirty pages few on a thread of its own; a context manager.

    Leaving it without an error raises `StorageError` where writing failed: the kernel tells that
    once, and a later barrier would not hear of it.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._begun = 0
        self._wanted: SimpleQueue[bool] = SimpleQueue()  # False ends the thread
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def passed(self, count: int) -> None:
        """Told how many bytes were written so far; nothing is done for a few."""
        if count - self._begun < _STEP:
            return
        self._begun = count
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lamina-writeback", daemon=True)
            self._thread.start()
        self._wanted.put(True)

    def _run(self) -> None:
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                while self._wanted.get():
                    syncfs(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._wanted.put(False)
            self._thread.join()
        if self._error is not None and error is None:
            raise from_oserror(self._error, "writing to the file system of", self._directory)
