"""Builds as docker's classic builder has them, a tar in, words of the steps out; and the cache."""

import threading

from lamina.build import BuildRequest
from lamina.build.stop import Stop
from lamina.docker_api import records
from lamina.docker_api.backend import Backend, logins_of
from lamina.docker_api.ending import closing_at
from lamina.docker_api.failures import ClientGone, NotServed
from lamina.docker_api.fields import Fields
from lamina.docker_api.limits import of_build
from lamina.docker_api.narrowing import narrowed
from lamina.docker_api.replies import Reply, Stream, Write, document
from lamina.docker_api.request import Body, Query, Request, refuse_unknown
from lamina.docker_api.routing import Route
from lamina.engine.buildwishes import BuildWishes, request_of
from lamina.errors import StepFailed, UsageError
from lamina.values.closing import Closing
from lamina.values.events import (
    Caution,
    Event,
    LayerProgress,
    Notice,
    StepCached,
    StepDone,
    StepOutput,
    StepStarted,
)

_PLAIN_NETWORKS = ("", "default", "host", "bridge")
_ERRORS = 2  # the stream of standard error, which docker shows in red
_PRUNE = ("all", "id", "inuse", "keep-storage", "private", "shared", "type", "until", "unused-for")


def _build(backend: Backend, request: Request) -> Reply:
    query = request.query
    wanted = _request(query, request.body)
    logins = logins_of(request.headers.get("x-registry-config", ""))
    pull = "always" if query.flag("pull") else "missing"
    sources = _texts(query, "cachefrom")

    def produce(write: Write) -> None:
        told = _Told(write, quiet=query.flag("q"))
        stop = Stop()
        with closing_at(_Ending(stop), backend.bell()):
            try:
                result = backend.engine.images.carry_out(
                    wanted._replace(stop=stop),
                    pull=pull,
                    cache_from=sources,
                    events=told,
                    logins=logins,
                )
            except Exception:
                told.check()
                raise
        told.finish(str(result.image_id), backend.engine.images.tags_of(result))

    return Stream(produce, told=_failed)


def _request(query: Query, body: Body) -> BuildRequest:
    """The build that the parameters ask for; raises `UsageError`."""
    if query.text("version") == "2" or query.text("session"):
        raise NotServed(
            "there is no BuildKit session: set DOCKER_BUILDKIT=0, RUN --mount is served as well"
        )
    outputs = query.text("outputs")
    if query.document("outputs") if outputs.startswith(("[", "{")) else outputs:
        raise UsageError("outputs of a build cannot be had here")
    remote = query.text("remote")
    wishes = _wishes(query)
    return request_of(remote or body, None, wishes)


def _wishes(query: Query) -> BuildWishes:
    network = query.text("networkmode")
    if network not in (*_PLAIN_NETWORKS, "none"):
        raise UsageError(f"network {network[:100]} not found", hint="there are host and none")
    platform = query.text("platform")
    wishes: BuildWishes = {
        "dockerfile": query.text("dockerfile") or None,
        "tags": query.all("t"),
        "build_args": _pairs(query, "buildargs"),
        "labels": _pairs(query, "labels"),
        "target": query.text("target") or None,
        "network": "none" if network == "none" else "default",
        "no_cache": query.flag("nocache"),
        "squash": query.flag("squash"),
        "platforms": [platform] if platform else [],
        "cgroup_parent": query.text("cgroupparent"),
        "security_opt": query.all("securityopt"),
        "jobs": 1,  # what is written is read as one row of steps
        **of_build(query),
    }
    return wishes


def _pairs(query: Query, name: str) -> dict[str, str]:
    """An object of texts; what is null in it is not said, as docker has it."""
    found = query.document(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{name} is no JSON object")
    return {str(key): str(value) for key, value in found.items() if value is not None}


def _texts(query: Query, name: str) -> tuple[str, ...]:
    return Fields({name: query.document(name)}).texts(name)


class _Ending(Closing):
    """Closing it ends a build."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def close(self) -> None:
        """Let everything of it end."""
        self._stop.ask()


class _Told:
    """The sink of a build: its events in the words of docker's classic builder."""

    def __init__(self, write: Write, *, quiet: bool) -> None:
        self._write = write
        self._quiet = quiet
        self._turn = threading.Lock()
        self._is_gone = False
        self._is_known = True  # all of this stage so far
        self._is_base = False  # the step that it is at
        self._layers = records.pulling(self._put)

    def __call__(self, event: Event) -> None:
        """Tell it."""
        if self._quiet:
            return
        if isinstance(event, StepStarted):
            self._is_base = event.text.lstrip()[:5].upper() == "FROM "
            self._is_known = self._is_known or self._is_base
            self._say(f"Step {event.step}/{event.total} : {event.text.strip()}")
            self._say("\n")
        elif isinstance(event, StepCached):
            self._say(" ---> Using cache\n")
        elif isinstance(event, StepDone):
            self._done(event)
        elif isinstance(event, StepOutput):
            text = event.data.decode("utf-8", "replace")
            self._say(f"\x1b[91m{text}\x1b[0m" if event.stream == _ERRORS else text)
        elif isinstance(event, LayerProgress):
            self._layers(event)
        elif isinstance(event, Notice):
            self._say(f"{event.text}\n")
        elif isinstance(event, Caution):
            self._say(f" ---> [Warning] {event.text}\n")

    def _done(self, event: StepDone) -> None:
        """A step that merely edits the config over what was known is known, too, as docker says."""
        if self._is_base:
            return
        self._is_known = self._is_known and not event.missed
        if self._is_known:
            self._say(" ---> Using cache\n")

    def finish(self, image: str, names: list[str]) -> None:
        """Tell of the image."""
        short = image.partition(":")[2][:12]
        if self._quiet:
            self._quiet = False
            self._say(f"{image}\n")
            return
        self._put(records.line({"aux": {"ID": image}}))
        self._say(f"Successfully built {short}\n")
        for name in names:
            self._say(f"Successfully tagged {name}\n")
        self.check()

    def check(self) -> None:
        """Raise `ClientGone` when nobody listened."""
        if self._is_gone:
            raise ClientGone

    def _say(self, text: str) -> None:
        self._put(records.line({"stream": text}))

    def _put(self, data: bytes) -> None:
        """Not raised here: a thread that passes a command's words on must go on doing so."""
        with self._turn:
            try:
                if not self._is_gone:
                    self._write(data)
            except ClientGone:
                self._is_gone = True


def _failed(error: Exception) -> bytes:
    """A command that failed is told in docker's words, with its status."""
    if not isinstance(error, StepFailed):
        return records.failed(error)
    command = error.brief.partition("the command ")[2].rpartition(" ended with exit status")[0]
    words = f"The command {command} returned a non-zero code: {error.status}"
    detail = {"code": error.status, "message": words}
    return records.line({"errorDetail": detail, "error": words})


def _prune(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, _PRUNE)
    if request.query.number("keep-storage"):
        raise UsageError("how much of the cache is to be kept cannot be said here (keep-storage)")
    system = backend.engine.system
    before = [step.key for step in system.cached_steps()]
    size = system.prune_cache(narrowed(filters).until)
    left = {step.key for step in system.cached_steps()}
    gone = [key for key in before if key not in left]
    return document({"CachesDeleted": gone or None, "SpaceReclaimed": size})


ROUTES = (
    Route("POST", "/build", _build),
    Route("POST", "/build/prune", _prune),
)
