"""What concerns the store and the server as a whole."""

import time

from lamina.docker_api.backend import Backend, domain_of, login_of
from lamina.docker_api.ending import closing_at
from lamina.docker_api.replies import Reply, Stream, Whole, Write, document, to_json
from lamina.docker_api.request import Request
from lamina.docker_api.routing import NEWEST_TEXT, OLDEST_TEXT, Route
from lamina.errors import UsageError
from lamina.values.moments import moment
from lamina.views.api import system as views
from lamina.views.events import event_document

_UNCACHED = (
    ("Builder-Version", "1"),
    ("Swarm", "inactive"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)


def _ping(_backend: Backend, _request: Request) -> Reply:
    return Whole(200, b"OK", "text/plain; charset=utf-8", _UNCACHED)


def _version(_backend: Backend, _request: Request) -> Reply:
    return document(views.version(NEWEST_TEXT, OLDEST_TEXT))


def _info(backend: Backend, request: Request) -> Reply:
    return document(views.info(backend.engine, request.version))


def _auth(backend: Backend, request: Request) -> Reply:
    """Whether a registry knows someone; it is the client that remembers."""
    said = request.document()
    user, secret, token = login_of(said)
    domain = domain_of(str(said.get("serveraddress") or ""))
    backend.engine.registries(logins={}).confirm(domain, user, secret, token)
    return document({"IdentityToken": token, "Status": "Login Succeeded"})


_KINDS = {
    "container": ("Containers",),
    "image": ("Images", "LayersSize"),
    "volume": ("Volumes",),
    "build-cache": ("BuildCache", "BuilderSize"),
}


def _disk_usage(backend: Backend, request: Request) -> Reply:
    engine, wanted = backend.engine, request.query.all("type")
    for each in wanted:
        if each not in _KINDS:
            raise UsageError(f"unknown object type: {each[:40]}")
    found = views.disk_usage(engine, engine.system.usage(), request.version, time.time())
    kept = {key for each in wanted for key in _KINDS[each]} or set(found)
    return document({key: value for key, value in found.items() if key in kept})


def _events(backend: Backend, request: Request) -> Reply:
    """What happens, until `until`, or the client has heard enough."""
    query, now = request.query, time.time()
    found = backend.engine.events(
        since=moment(query.text("since") or None, now),
        until=moment(query.text("until") or None, now),
        filters=query.filters(),
    )
    stream = backend.keep(found)

    def produce(write: Write) -> None:
        with closing_at(stream, backend.bell()):
            for event in stream:
                write(to_json(event_document(event)))

    return Stream(produce, at_once=True)


def _plugins(_backend: Backend, _request: Request) -> Reply:
    return document([])


ROUTES = (
    Route("GET", "/_ping", _ping),
    Route("GET", "/version", _version),
    Route("GET", "/info", _info),
    Route("POST", "/auth", _auth),
    Route("GET", "/system/df", _disk_usage),
    Route("GET", "/events", _events),
    Route("GET", "/plugins", _plugins),
)
