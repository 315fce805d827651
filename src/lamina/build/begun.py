"""A stream whose beginning is looked at: is it an archive, or a text?"""

from lamina.archive.compress import ByteStream, detect
from lamina.archive.header import BLOCK, parse
from lamina.errors import BadArchive


class Begun:
    """A stream from its beginning; `start` are its first bytes, a tar's block of them at most."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.start = self._rest = _up_to(stream, BLOCK)

    def text(self, size: int) -> bytes:
        """All that is left, up to `size` bytes."""
        return _up_to(self, size)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, the first ones first; none at the end."""
        if not self._rest:
            return self._stream.read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def cancel(self) -> None:
        """Nobody waits for more of it."""
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None:
            cancel()


def _up_to(stream: ByteStream, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := stream.read(size - len(found))):
        found += data
    return found


def is_archive(start: bytes) -> bool:
    """Whether what begins so is a tar, or compressed, as no Dockerfile is.

    Raises `UnknownCompression` for what can be told and not be read.
    """
    if detect(start) != "none":
        return True
    if len(start) < BLOCK:
        return False
    try:
        parse(start)
    except BadArchive:
        return False
    return True
