"""The server: clients come, each request is answered by its route on a thread of its own.

It runs in the foreground and ends with SIGTERM or SIGINT; killed at any moment it leaves a socket,
which the next one takes over, and what its requests were at, which the store puts right.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from urllib.parse import SplitResult, unquote, urlsplit

from lamina import __version__
from lamina.docker_api.backend import Backend, Open
from lamina.docker_api.crowd import TURNED_AWAY, Crowd, room
from lamina.docker_api.exchange import Exchange
from lamina.docker_api.execs import Execs
from lamina.docker_api.failures import UNTOLD, ClientGone, Forbidden, told
from lamina.docker_api.hub import Hub
from lamina.docker_api.listening import BACKLOG, inherited, opened
from lamina.docker_api.replies import Hijack, Reply
from lamina.docker_api.request import Query, Request
from lamina.docker_api.routes import ROUTES
from lamina.docker_api.routing import NEWEST_TEXT, Router
from lamina.docker_api.wire import Connection
from lamina.errors import UsageError

_OWN_NAMES = ("", "127.0.0.1", "localhost", "[::1]")
_FAREWELL = 5.0  # seconds for what is being answered, once the server is to end
_COMMON = (
    ("Api-Version", NEWEST_TEXT),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"Docker/{__version__} (linux)"),
)
_REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(TURNED_AWAY.body), TURNED_AWAY.body)
)


class Server:
    """Answers at some sockets, over the stores that `opener` opens."""

    def __init__(self, opener: Open) -> None:
        self._opener = opener
        self._router = Router(ROUTES)
        self._hub = Hub()
        self._execs = Execs()
        self._room = room()
        self._crowd = Crowd(self._room.requests)
        self._clients: dict[asyncio.Task[None], Connection] = {}

    async def run(self, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        """Serve until somebody wants us to end; `ready` is called when clients may come."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, over.set)
        servers = [
            await asyncio.start_server(self._meet, sock=each, backlog=BACKLOG) for each in sockets
        ]
        ready()
        await over.wait()
        for server in servers:
            server.close()
        await self._say_farewell()

    async def _say_farewell(self) -> None:
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=_FAREWELL)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._has_room():
            writer.write(_REFUSED)
            writer.close()
            return
        client = Connection(reader, writer, self._answer, _COMMON, self._crowd)
        self._clients[task] = client
        try:
            with suppress(asyncio.CancelledError):
                await client.run()
        finally:
            del self._clients[task]

    def _has_room(self) -> bool:
        """Whether one more may come; who has asked nothing for longest makes room."""
        if len(self._clients) < self._room.clients:
            return True
        idle = [each for each in self._clients.values() if each.idle_since is not None]
        if idle:
            min(idle, key=lambda each: each.idle_since or 0.0).give_up()
        return bool(idle)

    def _answer(self, exchange: Exchange) -> Hijack | None:
        """Answer one request, on a worker's thread."""
        backend = Backend(self._opener, exchange.bell, self._hub, self._execs)
        try:
            return self._sent(backend, exchange)
        except ClientGone:
            return None
        except Exception:  # noqa: BLE001 - what went wrong while it was sent, or an error told
            with suppress(ClientGone):  # when it has begun already, the connection ends
                exchange.send(UNTOLD)
            return None
        finally:
            exchange.close()

    def _sent(self, backend: Backend, exchange: Exchange) -> Hijack | None:
        try:
            reply = self._replied(backend, exchange)
            if isinstance(reply, Hijack):
                return reply
            exchange.send(reply)
            return None
        finally:
            backend.close()

    def _replied(self, backend: Backend, exchange: Exchange) -> Reply:
        try:
            _refuse_pages(exchange)
            address = _address(exchange.target)
            found = self._router.find(exchange.method, unquote(address.path))
            request = Request(
                exchange.method,
                address.path,
                found.version,
                Query(address.query),
                exchange.headers,
                exchange,
                found.names,
            )
            return found.answer(backend, request)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - one request's trouble is no other's
            return told(error)


def _address(target: str) -> SplitResult:
    try:
        return urlsplit(target)
    except ValueError as error:
        raise UsageError(f"the address cannot be read: {error}") from None


def _refuse_pages(exchange: Exchange) -> None:
    """A page in a browser may reach a loopback address, under any name: it is no client of ours."""
    host = exchange.headers.get("host", "")
    name, _, port = host.rpartition(":")
    is_named = exchange.is_by_address and (name if port.isdecimal() else host) not in _OWN_NAMES
    if "origin" in exchange.headers or is_named:
        raise Forbidden("pages of a browser are not answered", hint="speak to 127.0.0.1 itself")


def serve(opener: Open, hosts: list[str], ready: Callable[[list[str]], None]) -> int:
    """Serve at `hosts`, or at what a service manager opened; `ready` is told where.

    Returns when it is to end. Raises what opening the store, or listening, raises.
    """
    with opener() as engine:  # what is wrong with it is told at once, and not to each client
        own = f"unix://{engine.run_root}/docker.sock"
    with ExitStack() as ending:
        places = (inherited(ending) if not hosts else []) or opened(hosts or [own], ending)
        names = [place.name for place in places]
        sockets = [place.socket for place in places]
        asyncio.run(Server(opener).run(sockets, lambda: ready(names)))
    return 0
