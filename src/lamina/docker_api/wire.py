"""One connection: HTTP by h11 on the event loop, and what a worker's thread sees of it.

The loop moves bytes and nothing else; whoever answers runs on a thread of its own and waits, in
`Exchange`, for what comes and for what it writes to be taken up. A client that is gone is noticed
while it is being answered. Knows no route.
"""

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from http import HTTPStatus
from typing import TypeVar

import h11

from lamina.docker_api import waiting
from lamina.docker_api.failures import ClientGone, told
from lamina.docker_api.replies import Hijack, Line, Reply, Stream, Whole

T = TypeVar("T")

_HEAD_LIMIT = 1 << 18  # bytes; credentials for many registries travel in a header
_CHUNK = 1 << 18
_IDLE = 600.0  # seconds without a byte where one is waited for
_HEAD_TIME = 30.0  # seconds for a head that has begun
_LEFT_OVER = 1 << 20  # bytes of a body that nobody wanted, before the connection is given up
_LINGER = 2.0  # seconds for a client to take up an answer that came before its body's end
_HELD = 1 << 18  # bytes of a tar that are sent at once

Headers = Mapping[str, str]
Serve = Callable[["Exchange"], Hijack | None]
"""Answers one request, on a thread of its own; gives who takes the connection over, if so."""


class Connection:
    """One client, from its first byte to its last."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        serve: Serve,
        common: tuple[tuple[str, str], ...],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._serve = serve
        self._common = common
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        self._loop = asyncio.get_running_loop()
        writer.transport.set_write_buffer_limits(high=_CHUNK)

    async def run(self) -> None:
        """Answer until the client has had enough; raises nothing."""
        try:
            while await self._one():
                pass
        except (OSError, TimeoutError, h11.LocalProtocolError, ClientGone):
            pass  # gone, or too slow
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
        finally:
            self._writer.close()

    # --- one request ------------------------------------------------------------------------

    async def _one(self) -> bool:
        """Answer one request; whether another may come."""
        request = await self._head()
        if request is None:
            return False
        is_by_address = self._writer.get_extra_info("socket").family != socket.AF_UNIX
        exchange = Exchange(self, self._loop, request, is_by_address=is_by_address)
        is_watched = not exchange.wants_hijack
        watch = asyncio.ensure_future(self._watch(exchange)) if is_watched else None
        try:
            taken = await self._served(exchange)
        finally:
            if watch is not None:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
        if taken is not None:
            await self._hand_over(exchange, taken)
            return False
        return await self._is_reusable()

    async def _served(self, exchange: "Exchange") -> Hijack | None:
        answering = asyncio.ensure_future(_in_thread(lambda: self._serve(exchange)))
        try:
            return await asyncio.shield(answering)
        except asyncio.CancelledError:  # the server ends: what is being done may, too
            exchange.leave()
            with suppress(Exception):
                await answering
            raise

    async def _head(self) -> h11.Request | None:
        deadline: float | None = None
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                return event
            if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None
            begun = bool(self._http.trailing_data[0])
            if begun and deadline is None:
                deadline = self._loop.time() + _HEAD_TIME
            left = _IDLE if deadline is None else deadline - self._loop.time()
            async with asyncio.timeout(max(left, 0.0)):
                await self._receive()

    async def _receive(self) -> None:
        self._http.receive_data(await self._reader.read(_CHUNK))

    async def _watch(self, exchange: "Exchange") -> None:
        """Notice when the client goes while it is being answered: it sends no more."""
        peer = self._writer.get_extra_info("socket")
        await waiting.hung_up(peer.fileno(), select.EPOLLRDHUP)
        exchange.leave()

    async def _is_reusable(self) -> bool:
        if self._http.our_state is not h11.DONE:
            return False
        left = _LEFT_OVER
        try:
            async with asyncio.timeout(_LINGER):
                while self._http.their_state is h11.SEND_BODY and left > 0:
                    left -= len(await self.body())
        except TimeoutError:
            return False
        if self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """Say what was wrong with what came, if anything can still be said."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{error}\n".encode()
        head = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        head += [("Content-Length", str(len(body)))]
        try:
            await self._put(h11.Response(status_code=error.error_status_hint, headers=head))
            await self._put(h11.Data(data=body))
        except (OSError, h11.LocalProtocolError):
            pass  # it does not listen

    # --- what a worker asks for -------------------------------------------------------------

    async def body(self) -> bytes:
        """What comes next of the body; b"" at its end."""
        while self._http.their_state is h11.SEND_BODY:
            if self._http.they_are_waiting_for_100_continue:
                await self._put(h11.InformationalResponse(status_code=100, headers=[]))
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if event is h11.NEED_DATA:
                async with asyncio.timeout(_IDLE):
                    await self._receive()
        return b""

    async def whole(self, reply: Whole) -> None:
        """Send all of a reply."""
        head = [*self._common, *reply.headers]
        if reply.content_type:
            head.append(("Content-Type", reply.content_type))
        if reply.status not in (204, 304):
            head.append(("Content-Length", str(len(reply.body))))
        reason = HTTPStatus(reply.status).phrase.encode()
        await self._put(h11.Response(status_code=reply.status, headers=head, reason=reason))
        if reply.body:
            await self._put(h11.Data(data=reply.body))
        await self._put(h11.EndOfMessage())

    async def begin(self, reply: Stream) -> None:
        """Send the head of a stream."""
        head = [*self._common, *reply.headers, ("Content-Type", reply.content_type)]
        await self._put(h11.Response(status_code=200, headers=head, reason=b"OK"))

    async def more(self, data: bytes) -> None:
        """Send some of a stream, and wait until it is taken up."""
        await self._put(h11.Data(data=data))

    async def end(self) -> None:
        """Say that the stream is at its end."""
        await self._put(h11.EndOfMessage())

    async def break_off(self) -> None:
        """Leave the stream without its end, so that nobody takes it for whole."""
        self._http.send_failed()
        self._writer.transport.abort()

    async def _put(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    # --- handing over -----------------------------------------------------------------------

    async def _hand_over(self, exchange: "Exchange", taken: Hijack) -> None:
        """Let somebody have the connection: from now on it carries no HTTP."""
        upgrade = exchange.wants_hijack
        head = ["HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK"]
        head += [f"{name}: {value}" for name, value in self._common]
        head += [f"Content-Type: {taken.content_type}"]
        head += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
        self._writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        early = bytes(self._http.trailing_data[0])
        await taken.talk(Line(self._reader, self._writer, early))


class Exchange:
    """One request and its answer, as the worker that answers sees them: every call waits."""

    def __init__(
        self,
        connection: Connection,
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
        self._bell = -1
        self._turn = threading.Lock()

    @property
    def wants_hijack(self) -> bool:
        """Whether the client asks for the connection itself."""
        return "upgrade" in self.headers.get("connection", "").lower()

    # --- the client's going -----------------------------------------------------------------

    def bell(self) -> int:
        """A descriptor that becomes readable when the client is gone."""
        with self._turn:
            if self._bell < 0:
                self._bell = os.eventfd(1 if self._is_gone.is_set() else 0, os.EFD_CLOEXEC)
            return self._bell

    def leave(self) -> None:
        """The client is gone."""
        self._is_gone.set()
        with self._turn:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

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


async def _in_thread(work: Callable[[], T]) -> T:
    """Run it on a thread of its own, which nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is one without an error

    def act() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, result, None)

    threading.Thread(target=act, name="lamina-serve", daemon=True).start()
    return await done
