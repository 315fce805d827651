"""Commands executed in containers that run: made, started, resized, inspected."""

import asyncio
import fcntl
import os
import struct
import termios
import threading
import tty
from collections.abc import Callable
from contextlib import ExitStack

from lamina.containers.executing import Order
from lamina.docker_api import talking, waiting
from lamina.docker_api.backend import Backend, Open
from lamina.docker_api.execs import Ask, Exec
from lamina.docker_api.failures import sentence
from lamina.docker_api.fields import Fields
from lamina.docker_api.frames import STDERR, STDOUT, framed
from lamina.docker_api.replies import Hijack, Line, Reply, document, empty
from lamina.docker_api.request import Request
from lamina.docker_api.routes.lives import size_of
from lamina.docker_api.routes.streams import content_type
from lamina.docker_api.routing import Route
from lamina.errors import Conflict, LaminaError, NotRunning, UsageError
from lamina.execution.spawned import QUIET, Stdio
from lamina.values.detachkeys import DetachKeys

_NOT_RUN, _NOT_FOUND = 126, 127  # a shell's words for what could not be executed
_HELD = 1 << 17  # bytes; a pipe or a terminal holds half of that


def _create(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    said = Fields(request.document())
    if container.status == "paused":
        raise Conflict(f"container {container.name} is paused, unpause the container before exec")
    if not container.is_up:
        raise NotRunning(f"container {container.id} is not running")
    command = said.texts("Cmd")
    if not command:
        raise UsageError("No exec command specified")
    order = Order(
        command,
        said.texts("Env"),
        said.text("WorkingDir") or None,
        said.text("User") or None,
        tty=said.flag("Tty"),
        privileged=said.flag("Privileged"),
    )
    DetachKeys(said.text("DetachKeys") or None)  # a wrong one is told now
    ask = Ask(
        container.id,
        order,
        stdin=said.flag("AttachStdin"),
        stdout=said.flag("AttachStdout"),
        stderr=said.flag("AttachStderr"),
        keys=said.text("DetachKeys"),
    )
    made = backend.execs.add(ask)
    return document({"Id": made.id}, 201)


def _inspect(backend: Backend, request: Request) -> Reply:
    found = backend.execs.get(request.name)
    ask, order = found.ask, found.ask.order
    running = found.running
    return document(
        {
            "ID": found.id,
            "Running": found.is_running,
            "ExitCode": found.code,
            "ProcessConfig": {
                "tty": order.tty,
                "entrypoint": order.args[0],
                "arguments": list(order.args[1:]),
                "privileged": order.privileged,
                "user": order.user or "",
            },
            "OpenStdin": ask.stdin,
            "OpenStderr": ask.stderr,
            "OpenStdout": ask.stdout,
            "CanRemove": found.code is not None,
            "ContainerID": ask.container,
            "DetachKeys": "",
            "Pid": running.pid if running is not None else 0,
        }
    )


def _resize(backend: Backend, request: Request) -> Reply:
    backend.execs.get(request.name).resize(size_of(request.query))
    return empty(200)


# --- starting -----------------------------------------------------------------------------------


def _start(backend: Backend, request: Request) -> Reply:
    found = backend.execs.get(request.name)
    said = Fields(request.document())
    container = backend.engine.containers.get(found.ask.container)
    if not container.is_up:
        raise NotRunning(f"container {container.id} is not running")
    if said.flag("Detach"):
        return _detached(backend, found)
    height, width = said.size("ConsoleSize")
    is_raw = said.flag("Tty")  # as docker: who starts it says how it is to be read
    found.begin()
    talk = _Talk(backend.opener, found, (height, width), framed=not is_raw)
    return Hijack(talk.talk, content_type(request, tty=is_raw))


def _detached(backend: Backend, found: Exec) -> Reply:
    """Answered when it runs, or why it does not; its status is kept all the same."""
    runs = threading.Event()
    failures: list[Exception] = []

    def act() -> None:
        try:
            _carry_out(backend.opener, found, QUIET, runs.set)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            failures.append(error)
        finally:
            runs.set()

    found.begin()
    order = found.ask.order
    if order.tty:  # nobody sees it; without one input would be refused
        found.ask = found.ask._replace(order=order._replace(tty=False))
    try:
        threading.Thread(target=act, name="lamina-exec", daemon=True).start()
    except BaseException:
        found.end(_NOT_RUN)
        raise
    runs.wait()
    if failures:
        raise failures[0]
    return empty(200)


def _carry_out(opener: Open, found: Exec, stdio: Stdio, runs: Callable[[], object]) -> None:
    """Execute it to its end, on a worker's thread, with a store of its own."""
    code = _NOT_RUN
    try:
        with opener() as engine:
            container = engine.containers.get(found.ask.container)
            with container.executed(found.ask.order, stdio) as running:
                found.running = running
                runs()
                code = running.wait().code
    except LaminaError as error:
        code = error.exit_code if error.exit_code in (_NOT_RUN, _NOT_FOUND) else code
        raise
    finally:
        found.end(code)


class _Talk:
    """One command with its client: pipes or a terminal between, a thread that waits for its end.

    A client that leaves takes nothing of the command along: what that writes is thrown away then.
    """

    def __init__(self, opener: Open, found: Exec, size: tuple[int, int], *, framed: bool) -> None:
        self._framed = framed
        self._opener = opener
        self._exec = found
        self._size = size
        self._theirs: list[int] = []
        self._input = -1
        self._sources: dict[int, int] = {}
        self._failure = b""

    async def talk(self, line: Line) -> None:
        """Execute it, and pass on what it writes and is sent."""
        ask = self._exec.ask
        with ExitStack() as ending:
            over = self._ready(ending)
            output = _Output(self._sources, over, framed=self._framed)
            keys = DetachKeys(ask.keys or None) if ask.order.tty else None
            await talking.exchange(line, lambda: self._told(output), self._send, keys)
            self._close_input()
            while await output.read():
                pass  # nobody listens any more

    def _ready(self, ending: ExitStack) -> asyncio.Event:
        """Have its streams, and it begun; the event tells that all is over."""
        try:
            stdio = self._terminal(ending) if self._exec.ask.order.tty else self._pipes(ending)
            return self._begun(stdio)
        except BaseException:  # no descriptors are left, or no threads
            self._exec.end(_NOT_RUN)
            self._close_theirs()
            raise

    def _pipes(self, ending: ExitStack) -> Stdio:
        ask = self._exec.ask
        stdin = self._pipe(ending, to_us=False) if ask.stdin else None
        stdout = self._pipe(ending, to_us=True, number=STDOUT) if ask.stdout else None
        stderr = self._pipe(ending, to_us=True, number=STDERR) if ask.stderr else None
        return Stdio(stdin, stdout, stderr)

    def _pipe(self, ending: ExitStack, *, to_us: bool, number: int = 0) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        ours, its = (reading, writing) if to_us else (writing, reading)
        ending.callback(self._close_input if ours == writing else lambda: os.close(ours))
        os.set_blocking(ours, False)
        self._theirs.append(its)
        if to_us:
            self._sources[ours] = number
        else:
            self._input = ours
        return its

    def _terminal(self, ending: ExitStack) -> Stdio:
        ours, its = os.openpty()
        ending.callback(os.close, ours)
        os.set_blocking(ours, False)
        self._theirs.append(its)
        tty.setraw(its)  # the command's own terminal is the one that echoes
        height, width = self._size
        if height and width:
            fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._sources[ours] = STDOUT
        self._input = ours if self._exec.ask.stdin else -1
        # a runtime has no terminal for its own complaints: ours would be taken for the command's
        return Stdio(its, its, None)

    def _begun(self, stdio: Stdio) -> asyncio.Event:
        """Start the thread that carries it out; the event tells that all is over."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def act() -> None:
            try:
                _carry_out(self._opener, self._exec, stdio, self._close_theirs)
            except Exception as error:  # noqa: BLE001 - its client is told
                words = f"{sentence(error)}\r\n".encode()
                self._failure = framed(STDOUT, words) if self._framed else words
            finally:
                self._close_theirs()
                loop.call_soon_threadsafe(over.set)

        threading.Thread(target=act, name="lamina-exec", daemon=True).start()
        return over

    def _close_theirs(self) -> None:
        while self._theirs:
            os.close(self._theirs.pop())

    async def _told(self, output: "_Output") -> bytes:
        data = await output.read()
        if not data:
            data, self._failure = self._failure, b""
        return data

    async def _send(self, data: bytes) -> None:
        if self._input < 0:
            return
        if data:
            await talking.given(self._input, data)
        else:
            self._close_input()

    def _close_input(self) -> None:
        """The command's input ends; a terminal's does not."""
        if self._input >= 0 and self._input not in self._sources:
            os.close(self._input)
        self._input = -1


class _Output:
    """What a command writes, from all its streams; at its end its status is known."""

    def __init__(self, sources: dict[int, int], over: asyncio.Event, *, framed: bool) -> None:
        self._sources = dict(sources)
        self._over = over
        self._framed = framed
        self._left = _HELD  # bytes that are read once it is over: others may still be writing

    async def read(self) -> bytes:
        """Some of it, b"" at its end."""
        while self._sources and self._left > 0:
            was_over = self._over.is_set()
            data = self._there()
            if data:
                self._left -= len(data) if was_over else 0
                return data
            if was_over:
                break
            await self._more()
        await self._over.wait()
        return b""

    def _there(self) -> bytes:
        """What is there now of any stream; a stream that has ended is forgotten."""
        for descriptor, number in list(self._sources.items()):
            try:
                data = os.read(descriptor, talking.CHUNK)
            except BlockingIOError:
                continue
            except OSError:  # EIO: nobody has the terminal open any more
                data = b""
            if data:
                return framed(number, data) if self._framed else data
            del self._sources[descriptor]
        return b""

    async def _more(self) -> None:
        """Wait until there may be more, or it is over."""
        if not self._sources:
            return
        await waiting.whichever(*map(waiting.readable, self._sources), self._over.wait())


ROUTES = (
    Route("POST", "/containers/{name}/exec", _create),
    Route("POST", "/exec/{name}/start", _start),
    Route("POST", "/exec/{name}/resize", _resize),
    Route("GET", "/exec/{name}/json", _inspect),
)
