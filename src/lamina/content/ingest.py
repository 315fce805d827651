"""A blob while it comes: a file that grows, verified, read while it does.

What came before a kill or a broken line stays where it is, and only the rest is asked for. Knows
neither registry nor database; where the file lies is its maker's business.
"""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from lamina.content.verified import ByteStream
from lamina.errors import DigestMismatch, StorageError, from_oserror
from lamina.fs.atomic import write_all
from lamina.values.digest import Digest

_CHUNK = 1 << 20

Begin = Callable[[int], AbstractContextManager[ByteStream]]
"""Gives the blob's bytes from an offset on."""


class Ingest:
    """One blob of `size` bytes that is fetched into the file `partial`, then placed at `final`.

    One thread calls `fetch`; any may read meanwhile.
    """

    def __init__(self, digest: Digest, size: int, partial: str, final: str) -> None:
        self.digest = digest
        self.size = size
        self._partial = partial
        self._final = final
        self._changed = threading.Condition()
        self._path = ""  # where the bytes are, once there are some
        self._there = 0
        self._ended = False
        self._error: BaseException | None = None
        self._stopped = False
        self._stream: ByteStream | None = None

    # --- fetching -----------------------------------------------------------------------

    def fetch(self, begin: Begin, passed: Callable[[int], object]) -> None:
        """Fetch what is missing and place it; `passed` is told how many bytes are there.

        An error is given to whoever reads, and raised by `wait`; it is not raised here.
        """
        try:
            if not self._is_there():
                self._fill(begin, passed)
                self._place()
            self._tell(self._final, self.size)
        except OSError as error:
            self._error = from_oserror(error, "writing", self._partial)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Say that it cannot be fetched at all."""
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()

    def _is_there(self) -> bool:
        try:
            size = os.stat(self._final).st_size
        except FileNotFoundError:
            return False
        if size != self.size:
            raise DigestMismatch(f"{self.digest} has {size} bytes, not {self.size} as was said")
        return True

    def _fill(self, begin: Begin, passed: Callable[[int], object]) -> None:
        import hashlib

        counted = hashlib.new(self.digest.algorithm)
        descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            at = self._known(descriptor, counted.update)
            resumed = at > 0
            self._tell(self._partial, at)
            if at < self.size:
                with begin(at) as stream:
                    self._stream = stream
                    while data := self._next(stream):
                        write_all(descriptor, data)
                        counted.update(data)
                        at += len(data)
                        self._tell(self._partial, at)
                        passed(at)
        finally:
            os.close(descriptor)
        if at != self.size or counted.hexdigest() != self.digest.hex:
            os.unlink(self._partial)
            raise self._mismatch(at, resumed)

    def _mismatch(self, at: int, resumed: bool) -> DigestMismatch:
        what = f"{at} of {self.size} bytes" if at != self.size else "other content"
        hint = "what an earlier try had left may be damaged and is gone: try again"
        return DigestMismatch(
            f"the blob {self.digest} came with {what}", hint=hint if resumed else ""
        )

    def _known(self, descriptor: int, update: Callable[[bytes], object]) -> int:
        """What an earlier try left: read, and counted in."""
        size = os.fstat(descriptor).st_size
        if size > self.size:
            os.ftruncate(descriptor, 0)
            size = 0
        at = 0
        while at < size and (data := os.pread(descriptor, _CHUNK, at)):
            update(data)
            at += len(data)
        os.lseek(descriptor, at, os.SEEK_SET)
        return at

    def _next(self, stream: ByteStream) -> bytes:
        if self._stopped:
            raise _unwanted()
        return stream.read(_CHUNK)

    def _place(self) -> None:
        os.makedirs(os.path.dirname(self._final), mode=0o700, exist_ok=True)
        os.rename(self._partial, self._final)

    def _tell(self, path: str, there: int) -> None:
        with self._changed:
            self._path, self._there = path, there
            self._changed.notify_all()

    def stop(self) -> None:
        """It is no longer wanted: `fetch` ends soon, and what came stays for another time."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None:
            cancel()

    @property
    def stopped(self) -> bool:
        """Whether nobody wants it any more."""
        return self._stopped

    @property
    def placed(self) -> bool:
        """Whether it is there whole."""
        return self._ended and self._error is None

    # --- reading ------------------------------------------------------------------------

    def wait(self) -> None:
        """Wait until it is there whole; raises what went wrong."""
        with self._changed:
            while not self._ended:
                self._changed.wait()
        if self._error is not None:
            raise self._error

    def open(self) -> "Growing":
        """Its bytes from the start, as far as they are there; a context manager."""
        return Growing(self)

    def reached(self, at: int) -> tuple[str, int]:
        """Wait for bytes beyond `at`; gives the file's name and how many are there.

        At the end no more are. Raises what went wrong with the fetching.
        """
        with self._changed:
            while self._there <= at and not self._ended and not self._stopped:
                self._changed.wait()
            if self._there <= at and self._stopped:
                raise _unwanted()
            if self._there <= at and self._error is not None:
                raise self._error
            return self._path, self._there


def _unwanted() -> StorageError:
    return StorageError("the blob is no longer wanted")


class Growing:
    """The bytes of a blob that is still coming; ends well only when it is whole and right."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._fd = -1
        self._at = 0

    def cancel(self) -> None:
        """End a `read` that waits: its reader is going."""
        self._ingest.stop()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, waited for; none at the end."""
        path, there = self._ingest.reached(self._at)
        if there <= self._at:
            return b""
        try:
            if self._fd < 0:
                self._fd = _open(path, self._ingest)
            data = os.pread(self._fd, min(size, there - self._at), self._at)
        except OSError as error:
            raise from_oserror(error, "reading the blob", self._ingest.digest) from error
        self._at += len(data)
        if self._at == self._ingest.size:
            self._ingest.wait()  # verified only now
        return data

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, *error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _open(path: str, ingest: Ingest) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        ingest.wait()  # placed meanwhile, or thrown away
        return os.open(ingest.reached(ingest.size)[0], os.O_RDONLY | os.O_CLOEXEC)
