"""What running containers use: once, or once a second for as long as the client looks."""

import select

from lamina.docker_api.backend import Backend
from lamina.docker_api.replies import Reply, Stream, Write, document, to_json
from lamina.docker_api.request import Request
from lamina.docker_api.routing import Route
from lamina.errors import ContainerNotFound
from lamina.views.stats import Measured, stats_document

_EVERY = 1.0  # seconds between two looks


def _stats(backend: Backend, request: Request) -> Reply:
    """The first of a stream has no look before it; a single answer has, unless by `one-shot`."""
    container = backend.engine.containers.get(request.name)
    bell = select.poll()
    bell.register(backend.bell(), select.POLLIN)
    before = container.usage()
    if not request.query.flag("stream", default=True):
        if request.query.flag("one-shot"):
            return document(stats_document(Measured(container, None, before)))
        bell.poll(_EVERY * 1000)
        return document(stats_document(Measured(container, before, container.usage())))

    def produce(write: Write) -> None:
        past, now = None, before
        while True:
            write(to_json(stats_document(Measured(container, past, now))))
            if bell.poll(_EVERY * 1000):
                return
            try:
                past, now = now, container.usage()
            except ContainerNotFound:  # it was removed
                return

    return Stream(produce, at_once=True)


ROUTES = (Route("GET", "/containers/{name}/stats", _stats),)
