"""What docker's API has and is not to be had here, each with the sentence that says so.

What is in no table is told as docker tells of what it does not know: page not found. BuildKit's own
endpoints are left to that, since its clients look for it.
"""

from lamina.docker_api.backend import Backend
from lamina.docker_api.failures import NoSwarm, NotServed
from lamina.docker_api.replies import Reply
from lamina.docker_api.request import Request
from lamina.docker_api.routing import Answer, Route

_SENTENCES = {
    ("GET", "/containers/{name}/attach/ws"): "one attaches by a connection that is handed over,"
    " not by a web socket",
    ("GET", "/containers/{name}/checkpoints"): "checkpoints of containers cannot be had here",
    ("POST", "/containers/{name}/checkpoints"): "checkpoints of containers cannot be had here:"
    " lamina fork copies what a container has written",
    ("GET", "/images/search"): "registries are not searched here",
    ("POST", "/plugins/pull"): "plugins cannot be had here",
    ("POST", "/plugins/create"): "plugins cannot be had here",
}
_SWARM = ("swarm", "nodes", "services", "tasks", "secrets", "configs")


def _saying(sentence: str) -> Answer:
    def answer(_backend: Backend, _request: Request) -> Reply:
        raise NotServed(sentence)

    return answer


def _no_swarm(_backend: Backend, _request: Request) -> Reply:
    raise NoSwarm(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to'
        " connect this node to swarm and try again."
    )


def _leave_swarm(_backend: Backend, _request: Request) -> Reply:
    raise NoSwarm("This node is not part of a swarm")


ROUTES = (
    *(Route(method, path, _saying(words)) for (method, path), words in _SENTENCES.items()),
    Route("POST", "/swarm/leave", _leave_swarm),
    *(
        Route(method, path, _no_swarm)
        for name in _SWARM
        for path in (f"/{name}", f"/{name}/{{name}}")
        for method in ("GET", "POST", "DELETE")
    ),
)
