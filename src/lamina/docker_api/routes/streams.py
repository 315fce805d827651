"""What containers write and are fed: attach and logs."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

from lamina.containers.logs import LogLine
from lamina.docker_api import talking, waiting
from lamina.docker_api.backend import Backend
from lamina.docker_api.frames import STDERR, STDOUT, Sieve, framed, number_of
from lamina.docker_api.hub import Waiter
from lamina.docker_api.replies import FRAMED, RAW, Hijack, Line, Reply, Stream, Write
from lamina.docker_api.request import Query, Request
from lamina.docker_api.routing import Route
from lamina.engine.container import Container
from lamina.errors import Conflict, StorageError, UsageError
from lamina.execution.attached import INPUT, LAST_INPUT, OUTPUT, joined
from lamina.values.detachkeys import DetachKeys
from lamina.values.moments import moment

_LOOK = 0.5  # seconds between two looks for a start by another process


def content_type(request: Request, *, tty: bool) -> str:
    """Of a stream of a container's output, which is in frames without a terminal."""
    return RAW if tty or request.before(1, 42) else FRAMED


def wanted_of(query: Query, container: Container) -> frozenset[int]:
    """The streams that are asked for; a terminal has but one."""
    said = {STDOUT: query.flag("stdout"), STDERR: query.flag("stderr")}
    wanted = frozenset(number for number, is_wanted in said.items() if is_wanted)
    return frozenset((STDOUT,)) if container.settings.tty and wanted else wanted


# --- attach -------------------------------------------------------------------------------------


def _attach(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    if container.status == "paused":
        raise Conflict(f"container {request.name} is paused, unpause the container before attach")
    query, settings = request.query, container.settings
    keys = DetachKeys(query.text("detachKeys") or None) if settings.tty else None
    wanted = wanted_of(query, container)
    past = _Past(container, wanted) if query.flag("logs") else None
    kind = content_type(request, tty=settings.tty)
    if not query.flag("stream"):
        return Hijack(_Said(past).talk, kind)
    feeds = query.flag("stdin") and settings.stdin_open
    role = (LAST_INPUT if settings.stdin_once else INPUT) if feeds else OUTPUT
    path = os.path.join(backend.engine.run_root, container.id, "attach")
    sieve = Sieve(wanted) if not settings.tty and len(wanted) < 2 else None
    passed = sieve.passed if sieve is not None else _whole
    talk = _Attached(path, role, past, passed if wanted else _nothing, keys)
    talk.connect(backend, container)
    return Hijack(talk.talk, kind)


def _whole(data: bytes) -> bytes:
    return data


def _nothing(_data: bytes) -> bytes:
    return b""


class _Past:
    """What a container wrote before, which is read piece by piece as it is taken up."""

    def __init__(self, container: Container, wanted: frozenset[int]) -> None:
        """Raises `UsageError` where there is no log, or `StorageError`."""
        self._lines = container.logs(until=time.time())
        self._wanted = wanted
        self._tty = container.settings.tty
        self._first = self._piece()

    async def tell(self, line: Line) -> None:
        """Send it; raises OSError when the client is gone."""
        with closing(self._lines), suppress(StorageError):  # of what is lost nothing can be said
            data = self._first
            while data:
                await line.write(data)
                data = await waiting.to_its_end(self._piece)

    def _piece(self) -> bytes:
        pieces, size = [], 0
        for each in self._lines:
            if _is_wanted(each, self._wanted):
                pieces.append(_told(each, tty=self._tty))
                size += len(pieces[-1])
            if size >= talking.CHUNK:
                break
        return b"".join(pieces)


class _Said:
    """Someone who wants nothing but what was written before."""

    def __init__(self, past: _Past | None) -> None:
        self._past = past

    async def talk(self, line: Line) -> None:
        """Tell it."""
        if self._past is not None:
            with suppress(OSError):
                await self._past.tell(line)
        await line.end()


class _Attached:
    """One client that is attached, now or from the container's next start on."""

    def __init__(
        self,
        path: str,
        role: bytes,
        past: _Past | None,
        passed: Callable[[bytes], bytes],
        keys: DetachKeys | None,
    ) -> None:
        self._path = path
        self._role = role
        self._past = past
        self._passed = passed
        self._keys = keys
        self._ending = ExitStack()
        self._waiter: Waiter | None = None
        self._socket: socket.socket | None = None

    def connect(self, backend: Backend, container: Container) -> None:
        """Be connected, or among those who wait, before the client hears that it is."""
        self._waiter = self._ending.enter_context(backend.hub.waiter(container.id))
        try:
            container.reload()
            if container.is_up:
                self._join_now(container.name)
        except BaseException:
            self._ending.close()
            raise

    def _join_now(self, name: str) -> None:
        try:
            self._join()
        except BlockingIOError:
            raise Conflict(
                f"the container {name} has as many who are attached as there is room for"
            ) from None
        except OSError:
            raise Conflict(
                f"the container {name} runs in the foreground of another command"
            ) from None

    def _join(self) -> None:
        self._socket = joined(self._path, self._role)
        self._socket.setblocking(False)
        self._ending.callback(self._socket.close)

    def _has_joined(self) -> bool:
        try:
            self._join()
        except OSError:
            return False
        return True

    async def talk(self, line: Line) -> None:
        """Pass on what is written and sent until either side has had enough."""
        with self._ending, suppress(OSError):
            if self._past is not None:
                await self._past.tell(line)
            if self._socket is None:
                await self._started(line)
            if self._socket is not None:
                await talking.exchange(line, self._output, self._send, self._keys)
            else:
                await line.end()

    async def _started(self, line: Line) -> None:
        """Wait for the start, and be connected before anything of it runs."""
        assert self._waiter is not None
        try:
            await waiting.whichever(self._rung(self._waiter), line.vanished())
        finally:
            self._waiter.ready.set()

    async def _rung(self, waiter: Waiter) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await waiting.readable(waiter.bell)
                if waiter.path:
                    await self._joined_aside()
                return
            if os.path.exists(self._path) and await self._joined_aside():
                return  # another process started it

    async def _joined_aside(self) -> bool:
        """The same on a thread, which is waited for: what it opens is to be closed."""
        return await waiting.to_its_end(self._has_joined)

    async def _output(self) -> bytes:
        """What is wanted of what it wrote; b"" at its end."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._socket, talking.CHUNK):
            if passed := self._passed(data):
                return passed
        return b""

    async def _send(self, data: bytes) -> None:
        assert self._socket is not None
        if data:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        elif self._role == LAST_INPUT:
            self._socket.shutdown(socket.SHUT_WR)


# --- logs ---------------------------------------------------------------------------------------


def _logs(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    query = request.query
    wanted = wanted_of(query, container)
    if not wanted:
        raise UsageError("Bad parameters: you must choose at least one stream")
    tty, stamped = container.settings.tty, query.flag("timestamps")
    follow = query.flag("follow")
    lines = container.logs(
        follow=follow,
        tail=_tail(query),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
        bell=backend.bell() if follow else None,
    )

    def produce(write: Write) -> None:
        with closing(lines):
            for each in lines:
                if _is_wanted(each, wanted):
                    write(_told(each, tty=tty, stamped=stamped))

    return Stream(produce, content_type(request, tty=tty), at_once=True)


def _tail(query: Query) -> int | None:
    text = query.text("tail")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _moment(query: Query, name: str) -> float | None:
    text = query.text(name)
    return None if text in ("", "0") else moment(text, time.time())


def _is_wanted(each: LogLine, wanted: frozenset[int]) -> bool:
    return number_of(each.stream) in wanted


def _told(each: LogLine, *, tty: bool, stamped: bool = False) -> bytes:
    data = each.time.encode() + b" " + each.data if stamped else each.data
    return data if tty else framed(number_of(each.stream), data)


ROUTES = (
    Route("POST", "/containers/{name}/attach", _attach),
    Route("GET", "/containers/{name}/logs", _logs),
)
