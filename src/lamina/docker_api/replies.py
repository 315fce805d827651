"""What a route answers, as values; lamina.docker_api.wire sends them.

A `Stream` whose work fails before its first byte becomes an error of HTTP; after that it is told
in the stream's own way.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from lamina.docker_api import waiting

_LINGER = 2.0  # seconds: what is closed with something unread loses what was sent

Write = Callable[[bytes], None]
Headers = tuple[tuple[str, str], ...]

JSON = "application/json"
TAR = "application/x-tar"
OCTETS = "application/octet-stream"
RAW = "application/vnd.docker.raw-stream"
FRAMED = "application/vnd.docker.multiplexed-stream"


class Whole(NamedTuple):
    """A reply of known length."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()


class Stream(NamedTuple):
    """A reply that `produce` writes, on a worker's thread, while it is being sent.

    With `at_once` the head leaves before there is anything to say; so it does when `produce` writes
    nothing, b"". `told` gives the bytes that
    tell an error in the stream's own way; without, the stream just breaks off.
    """

    produce: Callable[[Write], None]
    content_type: str = JSON
    headers: Headers = ()
    at_once: bool = False
    told: Callable[[Exception], bytes] | None = None


class Line:
    """The client's connection, its own from now on: what it sends, and what it is sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._early = early  # what came on the heels of the request

    async def read(self, size: int = 1 << 18) -> bytes:
        """What the client sends; b"" when it will send no more, though it may still listen."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return await self._reader.read(size)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send it, and wait until it is taken up; raises OSError when the client is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """Say that no more will come, and give the client a moment to hear it."""
        try:
            self._writer.write_eof()
            async with asyncio.timeout(_LINGER):
                while await self._reader.read(1 << 16):
                    pass
        except (OSError, TimeoutError):
            pass  # it knows, or does not want to

    async def vanished(self) -> None:
        """Return when nobody is there any more, which a client that has ended its input is."""
        if self._writer.transport.is_closing():
            return
        await waiting.hung_up(self._writer.get_extra_info("socket").fileno())


class Hijack(NamedTuple):
    """The connection is handed over: `talk` has it, on the event loop, until it returns."""

    talk: Callable[[Line], Awaitable[None]]
    content_type: str = RAW


Reply = Whole | Stream | Hijack


def document(found: object, status: int = 200, headers: Headers = ()) -> Whole:
    """A JSON document, as docker ends one: with a line's end."""
    return Whole(status, to_json(found), JSON, headers)


def empty(status: int = 204) -> Whole:
    """Nothing but a status."""
    return Whole(status, b"", "")


def to_json(found: object) -> bytes:
    """JSON on one line; what has no bytes (half of a surrogate pair, in a name) is a `?`."""
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace") + b"\n"
