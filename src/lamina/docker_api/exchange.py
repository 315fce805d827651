"""One request and its answer, as the worker's thread that gives it sees them.

Every call waits for the event loop (lamina.docker_api.wire), and raises `ClientGone` once nobody
listens any more.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, TypeVar

import h11

from lamina.docker_api.failures import ClientGone, told
from lamina.docker_api.replies import Reply, Stream, Whole

if TYPE_CHECKING:
    from lamina.docker_api.wire import Connection

T = TypeVar("T")

_CHUNK = 1 << 18
_HELD = 1 << 18  # bytes of a tar that are sent at once

Headers = Mapping[str, str]


class Exchange:
    """One request and its answer, as the worker that answers sees them: every call waits."""

    def __init__(
        self,
        connection: "Connection",
        loop: asyncio.AbstractEventLoop,
        request: h11.Request,
        *,
        is_by_address: bool,
    ) -> None:
        """One that came `is_by_address` did not come by a socket that has an owner."""
        self.is_by_address = is_by_address
        self._connection = connection
        self._loop = loop
        self.method = request.method.decode("ascii")
        self.target = request.target.decode("latin-1")
        self.headers: Headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in request.headers
        }
        self._rest = b""
        self._is_gone = threading.Event()
        self._has_ended = False
        self._bell = -1
        self._turn = threading.Lock()

    @property
    def wants_hijack(self) -> bool:
        """Whether the client asks for the connection itself."""
        return "upgrade" in self.headers.get("connection", "").lower()

    # --- the client's going -----------------------------------------------------------------

    def bell(self) -> int:
        """A descriptor that becomes readable when the client is gone, or will send no more.

        What has no end of its own ends then, as at docker's; what has, is sent to its end to who
        listens still.
        """
        with self._turn:
            if self._bell < 0:
                self._bell = os.eventfd(1 if self._has_ended else 0, os.EFD_CLOEXEC)
            return self._bell

    def ended(self) -> None:
        """The client will send no more."""
        with self._turn:
            self._has_ended = True
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def leave(self) -> None:
        """The client is gone."""
        self._is_gone.set()
        self.ended()

    def close(self) -> None:
        """The answer is given: let go of what tells of the client's going."""
        with self._turn:
            if self._bell >= 0:
                os.close(self._bell)
            self._bell = -1

    # --- its body ---------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Some of the body, b"" at its end; all that is left with a negative size."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if not self._rest:
            self._rest = self._wait(self._connection.body())
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    # --- the answer -------------------------------------------------------------------------

    def send(self, reply: Reply) -> None:
        """Send a reply that is no hijack; raises `ClientGone`."""
        if isinstance(reply, Whole):
            body = b"" if self.method == "HEAD" else reply.body
            self._wait(self._connection.whole(reply._replace(body=body)))
        elif isinstance(reply, Stream):
            _Sending(self, reply).run()

    def begin(self, reply: Stream) -> None:
        """Send a stream's head."""
        self._wait(self._connection.begin(reply))

    def write(self, data: bytes) -> None:
        """Send some of it."""
        self._wait(self._connection.more(data))

    def end(self) -> None:
        """Send its end."""
        self._wait(self._connection.end())

    def break_off(self) -> None:
        """Leave it without an end."""
        self._wait(self._connection.break_off())

    def _wait(self, work: Coroutine[object, object, T]) -> T:
        if self._is_gone.is_set():
            work.close()
            raise ClientGone
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (OSError, TimeoutError, CancelledError, h11.ProtocolError) as error:
            self._is_gone.set()
            raise ClientGone from error


class _Sending:
    """A stream on its way: its head leaves with its first byte, tars in large pieces."""

    def __init__(self, exchange: Exchange, stream: Stream) -> None:
        self._exchange = exchange
        self._stream = stream
        self._has_begun = False
        self._held: list[bytes] = []
        self._size = 0
        self._limit = 0 if "json" in stream.content_type or stream.at_once else _HELD

    def run(self) -> None:
        """Produce it all; an error is told where it still can be."""
        if self._stream.at_once:
            self._begin()
        try:
            self._stream.produce(self._write)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            self._fail(error)
            return
        self._flush()
        self._begin()
        self._exchange.end()

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._exchange.begin(self._stream)

    def _write(self, data: bytes) -> None:
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size >= self._limit or not data:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            data = b"".join(self._held)
            self._held, self._size = [], 0
            self._begin()
            self._exchange.write(data)

    def _fail(self, error: Exception) -> None:
        if not self._has_begun:
            self._exchange.send(told(error))
        elif self._stream.told is not None:
            self._exchange.write(self._stream.told(error))
            self._exchange.end()
        else:
            self._exchange.break_off()
