"""A reader that only ever ends well when size and digest were the promised ones.

Reading to the end is verifying: the last `read` raises instead of giving the end.
"""

from typing import Protocol

from lamina.errors import DigestMismatch
from lamina.values.digest import Digest


class ByteStream(Protocol):
    """Anything with `read(n)`: up to n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class VerifiedReader:
    """`stream`, which must have exactly `size` bytes (None: unknown) with that `digest`."""

    def __init__(self, stream: ByteStream, digest: Digest, size: int | None) -> None:
        import hashlib  # OpenSSL takes 5 ms to load, and a listing hashes nothing

        self._stream = stream
        self._wanted = digest
        self._left = size
        self._seen = 0
        self._hash = hashlib.new(digest.algorithm)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; raises `DigestMismatch` for one too many, too few or wrong ones."""
        data = self._stream.read(size)
        self._seen += len(data)
        self._hash.update(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (not data and self._left):
                raise DigestMismatch(
                    f"{self._wanted} has {self._seen} bytes, and "
                    f"{self._seen + self._left} were promised"
                )
        if not data and self._hash.hexdigest() != self._wanted.hex:
            raise DigestMismatch(
                f"the content is {self._wanted.algorithm}:{self._hash.hexdigest()}, "
                f"not {self._wanted} as was promised"
            )
        return data

    def cancel(self) -> None:
        """End a read that waits, where the stream can: its reader is going."""
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None:
            cancel()
