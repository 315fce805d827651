"""One connection: HTTP by h11 on the event loop.

The loop moves bytes and nothing else; whoever answers runs on a thread of its own and waits, in
`Exchange`, for what comes and for what it writes to be taken up. A client that is gone, or sends
no more, is noticed while it is being answered. Knows no route.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import h11

from lamina.docker_api import waiting
from lamina.docker_api.crowd import TURNED_AWAY, Crowd
from lamina.docker_api.exchange import Exchange
from lamina.docker_api.failures import ClientGone
from lamina.docker_api.replies import Hijack, Line, Stream, Whole

_HEAD_LIMIT = 1 << 18  # bytes; credentials for many registries travel in a header
_CHUNK = 1 << 18
_IDLE = 600.0  # seconds without a byte where one is waited for
_HEAD_TIME = 30.0  # seconds for a head that has begun
_LEFT_OVER = 1 << 20  # bytes of a body that nobody wanted, before the connection is given up
_LINGER = 2.0  # seconds for a client to take up an answer that came before its body's end

Serve = Callable[[Exchange], Hijack | None]
"""Answers one request, on a thread of its own; gives who takes the connection over, if so."""


class Connection:
    """One client, from its first byte to its last."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        serve: Serve,
        common: tuple[tuple[str, str], ...],
        crowd: Crowd,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._serve = serve
        self._common = common
        self._crowd = crowd
        self.idle_since: float | None = None  # of the loop's clock; None while it is served
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

    def give_up(self) -> None:
        """Be done with a client that asks nothing."""
        self.idle_since = None
        self._writer.transport.abort()

    # --- one request ------------------------------------------------------------------------

    async def _one(self) -> bool:
        """Answer one request; whether another may come."""
        request = await self._head()
        if request is None:
            return False
        if not self._crowd.enter():
            await self.whole(TURNED_AWAY)
            return await self._is_reusable()
        try:
            return await self._answered(request)
        finally:
            self._crowd.leave()

    async def _answered(self, request: h11.Request) -> bool:
        is_by_address = self._writer.get_extra_info("socket").family != socket.AF_UNIX
        exchange = Exchange(self, self._loop, request, is_by_address=is_by_address)
        watch = asyncio.ensure_future(self._watch(exchange))
        try:
            taken = await self._served(exchange)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if taken is not None:
            await self._hand_over(exchange, taken)
            return False
        return await self._is_reusable()

    async def _served(self, exchange: Exchange) -> Hijack | None:
        answering = asyncio.ensure_future(waiting.in_thread(lambda: self._serve(exchange)))
        try:
            return await asyncio.shield(answering)
        except BlockingIOError:  # no thread for it
            await self.whole(TURNED_AWAY)
            return None
        except asyncio.CancelledError:  # the server ends: what is being done may, too
            exchange.leave()
            with suppress(Exception):
                await answering
            raise

    async def _head(self) -> h11.Request | None:
        try:
            return await self._head_come()
        finally:
            self.idle_since = None

    async def _head_come(self) -> h11.Request | None:
        deadline: float | None = None
        self.idle_since = self._loop.time()
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

    async def _watch(self, exchange: Exchange) -> None:
        """Notice while it is being answered that the client sends no more, and that it is gone."""
        peer = self._writer.get_extra_info("socket")
        with suppress(OSError):  # no descriptor to notice it by: nothing is begun for such a one
            await waiting.hung_up(peer.fileno(), select.EPOLLRDHUP)
            exchange.ended()
            await waiting.hung_up(peer.fileno())
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

    async def _hand_over(self, exchange: Exchange, taken: Hijack) -> None:
        """Let somebody have the connection: from now on it carries no HTTP."""
        upgrade = exchange.wants_hijack
        head = ["HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK"]
        head += [f"{name}: {value}" for name, value in self._common]
        head += [f"Content-Type: {taken.content_type}"]
        head += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
        self._writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        early = bytes(self._http.trailing_data[0])
        await taken.talk(Line(self._reader, self._writer, early))
