"""Containers as things: create, list, inspect, rename, remove, prune."""

import time
from collections.abc import Iterator
from contextlib import suppress

from lamina.docker_api.backend import Backend
from lamina.docker_api.creating import ordered
from lamina.docker_api.fields import Fields
from lamina.docker_api.narrowing import KNOWN, narrowed
from lamina.docker_api.replies import Reply, document, empty
from lamina.docker_api.request import Filters, Query, Request, refuse_unknown
from lamina.docker_api.routing import Route
from lamina.engine import Engine
from lamina.engine.container import Container
from lamina.errors import Conflict, ContainerNotFound, NameTaken, UsageError
from lamina.views.api import containers as views

_OF_ENDED = ("exited", "status")  # filters that ask for more than what runs


def _create(backend: Backend, request: Request) -> Reply:
    engine = backend.engine
    name = request.query.text("name").removeprefix("/") or None
    said = Fields(request.document())
    _refuse_other(engine, said.within("HostConfig"))
    order = ordered(said, name)
    if not order.image:
        raise UsageError("no image is named that the container is to be made of")
    try:
        made = engine.containers.create(
            order.image,
            order.command,
            auto_remove=order.auto_remove,
            platform=request.query.text("platform") or None,
            outlives=True,
            **order.wanted,
        )
    except NameTaken:
        raise _taken(engine, name or "") from None
    return document({"Id": made.id, "Warnings": list(order.warnings)}, 201)


def _refuse_other(engine: Engine, host: Fields) -> None:
    """What is as it is for all containers cannot be asked to be otherwise."""
    spaces, had = host.text("CgroupnsMode"), views.cgroup_namespace(engine)
    if spaces not in ("", had):
        raise UsageError(f"the cgroup namespace of a container is {had} here, not {spaces[:40]}")
    name = host.text("Runtime")
    if name and name != engine.system.isolation.name:
        raise UsageError(
            f"unknown or invalid runtime name: {name[:60]}",
            hint=f"containers are run by {engine.system.isolation.name} here",
        )


def _taken(engine: Engine, name: str) -> Conflict:
    """In docker's words, which its clients look for."""
    try:
        holder = str(engine.containers.get(name).id)
    except ContainerNotFound:
        holder = name  # gone by now
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{holder}". You'
        " have to remove (or rename) that container to be able to reuse that name."
    )


def _list(backend: Backend, request: Request) -> Reply:
    engine, query = backend.engine, request.query
    filters = request.query.filters()
    limit = query.number("limit") or 0
    everything = query.flag("all") or limit > 0 or any(each in filters for each in _OF_ENDED)
    found = _fitting(engine, engine.containers.list(everything=everything), query, filters)
    now, size = time.time(), query.flag("size")
    kept = found[:limit] if limit > 0 else found
    return document(views.summaries(engine, kept, now, size=size))


def _fitting(
    engine: Engine, found: list[Container], query: Query, filters: Filters
) -> list[Container]:
    from lamina.views.psfilters import tests_of  # regular expressions are dear

    texts = [f"{key}={value}" for key, values in filters.items() for value in values]
    texts += [f"{key}={query.text(key)}" for key in ("before", "since") if query.text(key)]
    tests = tests_of(engine, texts)
    return [each for each in found if all(test(each) for test in tests)]


def _inspect(backend: Backend, request: Request) -> Reply:
    engine = backend.engine
    container = engine.containers.get(request.name)
    return document(
        views.inspected(
            engine,
            container,
            request.version,
            execs=backend.execs.of(container.id),
            size=request.query.flag("size"),
        )
    )


def _rename(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    name = request.query.text("name").removeprefix("/")
    if not name:
        raise UsageError("Neither old nor new names may be empty")
    if name == container.name:
        raise UsageError("Renaming a container with the same name as its current name")
    try:
        container.rename(name)
    except NameTaken:
        raise _taken(backend.engine, name) from None
    return empty()


def _remove(backend: Backend, request: Request) -> Reply:
    query = request.query
    container = backend.engine.containers.get(request.name)
    if query.flag("link"):
        raise UsageError("there are no links between containers that could be removed")
    if container.is_up and not query.flag("force"):
        raise Conflict(
            f"You cannot remove a running container {container.id}. Stop the container before"
            " attempting removal or force remove"
        )
    container.remove(force=query.flag("force"), volumes=query.flag("v"))
    backend.hub.failed(container.id, container.exit_code or 0)
    return empty()


def _prune(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, KNOWN)
    containers = backend.engine.containers
    sizes = dict(_sizes_of_stopped(containers.list(everything=True)))
    gone = containers.prune(narrowed(filters))
    for each in gone:
        backend.hub.failed(each.id, each.exit_code or 0)
    return document(
        {
            "ContainersDeleted": [each.id for each in gone] or None,
            "SpaceReclaimed": sum(sizes.get(each.id, 0) for each in gone),
        }
    )


def _sizes_of_stopped(found: list[Container]) -> Iterator[tuple[str, int]]:
    for each in found:
        with suppress(ContainerNotFound):  # it was removed meanwhile
            if not each.is_up:
                yield each.id, each.size


ROUTES = (
    Route("POST", "/containers/create", _create),
    Route("GET", "/containers/json", _list),
    Route("POST", "/containers/prune", _prune),
    Route("GET", "/containers/{name}/json", _inspect),
    Route("POST", "/containers/{name}/rename", _rename),
    Route("DELETE", "/containers/{name}", _remove),
)
