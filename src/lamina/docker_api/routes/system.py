"""What concerns the store and the server as a whole."""

from lamina.docker_api.backend import Backend, login_of
from lamina.docker_api.replies import Reply, Whole, document
from lamina.docker_api.request import Request
from lamina.docker_api.routing import NEWEST_TEXT, OLDEST_TEXT, Route
from lamina.views.api import system as views

_UNCACHED = (
    ("Builder-Version", "1"),
    ("Swarm", "inactive"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)
_HUB = ("", "https://index.docker.io/v1/", "https://registry-1.docker.io/v2/")


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
    address = str(said.get("serveraddress") or "")
    domain = "docker.io" if address in _HUB else _host(address)
    backend.engine.registries(logins={}).confirm(domain, user, secret, token)
    return document({"IdentityToken": token, "Status": "Login Succeeded"})


def _host(address: str) -> str:
    return address.partition("://")[2].rstrip("/") if "://" in address else address.rstrip("/")


def _plugins(_backend: Backend, _request: Request) -> Reply:
    return document([])


ROUTES = (
    Route("GET", "/_ping", _ping),
    Route("GET", "/version", _version),
    Route("GET", "/info", _info),
    Route("POST", "/auth", _auth),
    Route("GET", "/plugins", _plugins),
)
