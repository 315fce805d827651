"""The lives of containers: start, stop, kill, pause, resize, top, and waiting for an end."""

import os
import select
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamina.containers.signals import number_of
from lamina.docker_api.backend import Backend
from lamina.docker_api.creating import restart_of
from lamina.docker_api.failures import ClientGone
from lamina.docker_api.fields import Fields
from lamina.docker_api.hub import Waiter
from lamina.docker_api.limits import of_container
from lamina.docker_api.replies import Reply, Stream, Write, document, empty, to_json
from lamina.docker_api.request import Query, Request
from lamina.docker_api.routing import Route
from lamina.engine.container import Container
from lamina.errors import (
    CommandNotExecutable,
    ContainerNotFound,
    LaminaError,
    NotRunning,
    UsageError,
)

_LOOK = 0.25  # seconds between two looks at what other processes do
_REFUSED = "permission denied"
_CONDITIONS = ("", "not-running", "next-exit", "removed")


def _start(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    if container.status == "paused":
        raise NotRunning("cannot start a paused container, try unpause instead")
    if container.is_up:
        return empty(304)
    with _starting(backend, container) as before:
        container.start(before=before)
    return empty()


@contextmanager
def _starting(backend: Backend, container: Container) -> Iterator[Callable[[str], None]]:
    """Around a start, with all connected who wait for that; raises as `Container.start`."""
    try:
        yield lambda path: backend.hub.starting(container.id, path)
    except LaminaError as error:
        if container.settings.auto_remove:
            container.discard()
        backend.hub.failed(container.id, error.exit_code)
        if isinstance(error, CommandNotExecutable) and _REFUSED not in error.brief:
            # by these words alone docker's older clients know what to end with
            raise CommandNotExecutable(f"{error.brief}: {_REFUSED}") from error
        raise


def _stop(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    if not container.is_up:
        return empty(304)
    patience, signal = _patience(request.query), _signal(request.query)
    if not container.stop(timeout=patience, signal=signal, bell=backend.bell()):
        raise ClientGone  # and it need not end
    return empty()


def _restart(backend: Backend, request: Request) -> Reply:
    container, query = backend.engine.containers.get(request.name), request.query
    patience, signal = _patience(query), _signal(query)
    with _starting(backend, container) as before:
        is_done = container.restart(
            timeout=patience, signal=signal, bell=backend.bell(), before=before
        )
    if not is_done:
        raise ClientGone
    return empty()


def _patience(query: Query) -> float | None:
    found = query.number("t")
    return None if found is None else float(found)


def _signal(query: Query) -> str | None:
    return query.text("signal") or None


def _kill(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    if not container.is_up:
        raise NotRunning(
            f"cannot kill container: {request.name}: container {container.id} is not running"
        )
    said = request.query.text("signal") or "KILL"
    number = number_of(int(said) if said.isdecimal() else said)
    if number == signal.SIGKILL:
        container.stop(signal=number)  # returns when it has ended, as docker's does
    else:
        container.kill(number)
    return empty()


def _pause(backend: Backend, request: Request) -> Reply:
    backend.engine.containers.get(request.name).pause()
    return empty()


def _unpause(backend: Backend, request: Request) -> Reply:
    backend.engine.containers.get(request.name).unpause()
    return empty()


def _resize(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    if not container.is_up:
        raise NotRunning(f"container {container.id} is not running")
    container.resize(size_of(request.query))
    return empty(200)


def size_of(query: Query) -> os.terminal_size:
    """A terminal's size as it is asked for; raises `UsageError`."""
    height, width = query.number("h"), query.number("w")
    if height is None or width is None or not (0 <= height < 65536 and 0 <= width < 65536):
        raise UsageError("a terminal's size is h rows and w columns")
    return os.terminal_size((width, height))


def _update(backend: Backend, request: Request) -> Reply:
    said = Fields(request.document())
    policy = said.within("RestartPolicy")
    restart = restart_of(policy) if policy.text("Name") else None
    container = backend.engine.containers.get(request.name)
    container.update(restart=restart, **of_container(said))
    return document({"Warnings": None})


def _top(backend: Backend, request: Request) -> Reply:
    options = request.query.text("ps_args") or "-ef"
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise UsageError(f"the options of ps cannot be read: {error}") from None
    found = backend.engine.containers.get(request.name).top(words)
    return document({"Titles": list(found.titles), "Processes": [list(row) for row in found.rows]})


# --- waiting ------------------------------------------------------------------------------------


def _wait(backend: Backend, request: Request) -> Reply:
    condition = request.query.text("condition")
    if condition not in _CONDITIONS:
        raise UsageError(f"invalid condition: {condition[:40]!r}")
    container = backend.engine.containers.get(request.name)

    def produce(write: Write) -> None:
        code = _Waiting(backend, container, write).until(condition or "not-running")
        write(to_json({"StatusCode": code, "Error": None}))

    return Stream(produce)


class _Waiting:
    """Waits for a container on behalf of one client, who hears the head at once."""

    def __init__(self, backend: Backend, container: Container, write: Write) -> None:
        self._backend = backend
        self._container = container
        self._write = write
        self._bell = backend.bell()

    def until(self, condition: str) -> int:
        """The exit status that the condition gives; raises `ClientGone`."""
        removed = condition == "removed"
        with self._backend.hub.waiter(self._container.id) as waiter:
            self._write(b"")
            is_there = self._look()
            if condition == "not-running" and not self._container.is_up:
                return self._code()
            if not is_there:
                return self._code()
            if not self._container.is_up and not self._starts(waiter, removed=removed):
                return waiter.code if waiter.code is not None else self._code()
            code = self._ends(waiter, last=removed)
        if removed:
            self._goes()
        return code

    def _code(self) -> int:
        return self._container.exit_code or 0

    def _starts(self, waiter: Waiter, *, removed: bool) -> bool:
        """Wait for its start; False when it could not be started, or was removed."""
        before = self._container.started_at
        while not self._rung(waiter.bell):
            if not self._look():
                return False
            if self._container.started_at != before:
                return True
        if waiter.path:
            return self._look()
        if removed:
            self._goes()
        return False

    def _ends(self, waiter: Waiter, *, last: bool) -> int:
        with self._container.watched(last=last) as watch:
            waiter.ready.set()
            if not watch.until(self._bell):
                raise ClientGone
            return watch()

    def _goes(self) -> None:
        """Wait until it is removed."""
        while self._look():
            self._rung(None)

    def _look(self) -> bool:
        """Look again; False when it is there no more."""
        try:
            self._container.reload()
        except ContainerNotFound:
            return False
        return True

    def _rung(self, bell: int | None) -> bool:
        """Wait for a moment, or until `bell` rings; raises `ClientGone`."""
        poller = select.poll()
        for each in (self._bell, *(() if bell is None else (bell,))):
            poller.register(each, select.POLLIN)
        ready = dict(poller.poll(_LOOK * 1000))
        if self._bell in ready:
            raise ClientGone
        return bell in ready


ROUTES = (
    Route("POST", "/containers/{name}/start", _start),
    Route("POST", "/containers/{name}/stop", _stop),
    Route("POST", "/containers/{name}/restart", _restart),
    Route("POST", "/containers/{name}/kill", _kill),
    Route("POST", "/containers/{name}/pause", _pause),
    Route("POST", "/containers/{name}/unpause", _unpause),
    Route("POST", "/containers/{name}/resize", _resize),
    Route("POST", "/containers/{name}/update", _update),
    Route("GET", "/containers/{name}/top", _top),
    Route("POST", "/containers/{name}/wait", _wait),
)
