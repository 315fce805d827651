"""The two networks that there are, this machine's and none, and that there are no others."""

from collections.abc import Callable

from lamina.docker_api.backend import Backend
from lamina.docker_api.failures import Forbidden, NotServed
from lamina.docker_api.replies import Reply, document
from lamina.docker_api.request import Filters, Request, refuse_unknown
from lamina.docker_api.routing import Route
from lamina.engine import Engine
from lamina.errors import NotFound
from lamina.views.api import networks as views

_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def _list(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, _FILTERS)
    engine = backend.engine
    found = [name for name in views.NAMES if _fits(engine, name, filters)]
    return document([views.network(engine, name) for name in found])


def _fits(engine: Engine, name: str, filters: Filters) -> bool:
    own: dict[str, Callable[[str], bool]] = {
        "driver": lambda text: text == views.NAMES[name],
        "id": lambda text: views.network_id(engine, name).startswith(text),
        "label": lambda _text: False,
        "name": lambda text: text in name,
        "scope": lambda text: text == "local",
        "type": lambda text: text == "builtin",
        "dangling": lambda text: text not in ("1", "true"),
    }
    return all(any(own[key](text) for text in texts) for key, texts in filters.items())


def _named(engine: Engine, text: str) -> str:
    """The name of the network that a name or the beginning of an ID means."""
    for name in views.NAMES:
        if text == name or (text and views.network_id(engine, name).startswith(text)):
            return name
    raise NotFound(f"network {text} not found", hint="there are host and none")


def _inspect(backend: Backend, request: Request) -> Reply:
    engine = backend.engine
    name = _named(engine, request.name)
    return document(views.network(engine, name, connected=True))


def _create(_backend: Backend, _request: Request) -> Reply:
    raise NotServed(
        "networks of one's own cannot be had here: a container has this machine's network, or none"
    )


def _remove(backend: Backend, request: Request) -> Reply:
    name = _named(backend.engine, request.name)
    raise Forbidden(f"{name} is a pre-defined network and cannot be removed")


def _connect(backend: Backend, request: Request) -> Reply:
    _named(backend.engine, request.name)
    raise NotServed("a container stays in the network that it was made for: make it anew")


def _prune(_backend: Backend, _request: Request) -> Reply:
    return document({"NetworksDeleted": None})


ROUTES = (
    Route("GET", "/networks", _list),
    Route("POST", "/networks/create", _create),
    Route("POST", "/networks/prune", _prune),
    Route("GET", "/networks/{name}", _inspect),
    Route("DELETE", "/networks/{name}", _remove),
    Route("POST", "/networks/{name}/connect", _connect),
    Route("POST", "/networks/{name}/disconnect", _connect),
)
