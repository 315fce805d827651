"""Images that are here: list, inspect, history, tag, remove, prune."""

import time

from lamina.docker_api.backend import Backend
from lamina.docker_api.narrowing import narrowed
from lamina.docker_api.replies import Reply, document, empty
from lamina.docker_api.request import Filters, Request, refuse_unknown
from lamina.docker_api.routing import Route
from lamina.engine import Engine
from lamina.engine.image import Image
from lamina.errors import UsageError
from lamina.images.store import Removed
from lamina.values.moments import moment
from lamina.values.namepattern import meant
from lamina.values.narrowing import has_label
from lamina.views.api import images as views

_LIST = ("before", "dangling", "label", "reference", "since", "until")
_PRUNE = ("dangling", "label", "label!", "until")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def _list(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, _LIST)
    engine = backend.engine
    named = request.query.text("filter")  # the only one that clients before 1.13 had
    if named:
        filters = {**filters, "reference": (*filters.get("reference", ()), named)}
    found = _fitting(engine, engine.images.list(), filters)
    shared, users = _shares(engine, request), _users(engine, request)
    return document(
        [
            views.summary(
                image,
                request.version,
                patterns=filters.get("reference", ()),
                shared=shared.get(image.id, -1),
                containers=users.get(image.id, 0 if users else -1),
            )
            for image in found
        ]
    )


def _shares(engine: Engine, request: Request) -> dict[str, int]:
    if not request.query.flag("shared-size"):
        return {}
    return {str(share.id): share.shared for share in engine.sharing().images}


def _users(engine: Engine, request: Request) -> dict[str, int]:
    """How many containers each image has; what is not counted by that version is empty."""
    if request.before(1, 51):
        return {}
    users = [str(each.image) for each in engine.containers.list(everything=True)]
    counted = {image: users.count(image) for image in users}
    return counted or {"": 0}


def _fitting(engine: Engine, found: list[Image], filters: Filters) -> list[Image]:
    """Those that every filter admits; of several values of one kind any will do, labels all."""
    now = time.time()
    if "dangling" in filters:
        wanted = _truth(filters["dangling"])
        found = [image for image in found if (not image.names) is wanted]
    for label in filters.get("label", ()):
        found = [image for image in found if has_label(image.labels, label)]
    for name in filters.get("before", ()):
        limit = engine.images.get(name).created
        found = [image for image in found if image.created < limit]
    for name in filters.get("since", ()):
        limit = engine.images.get(name).created
        found = [image for image in found if image.created > limit]
    for text in filters.get("until", ()):
        limit = moment(text, now) or 0.0
        found = [image for image in found if image.created <= limit]
    patterns = filters.get("reference", ())
    if patterns:
        found = [
            image for image in found if any(meant(image.names, pattern) for pattern in patterns)
        ]
    return found


def _truth(values: tuple[str, ...]) -> bool:
    for text in values:
        if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
    raise UsageError(f"invalid filter 'dangling={','.join(values)[:40]}'", hint="true or false")


def _inspect(backend: Backend, request: Request) -> Reply:
    engine = backend.engine
    image = engine.images.get(request.name)
    return document(views.inspected(image, engine.driver.name, request.version))


def _history(backend: Backend, request: Request) -> Reply:
    image = backend.engine.images.get(request.name)
    return document(views.history(image, image.history()))


def _tag(backend: Backend, request: Request) -> Reply:
    repository, tag = request.query.text("repo"), request.query.text("tag")
    backend.engine.images.tag(request.name, f"{repository}:{tag}" if tag else repository)
    return empty(201)


def _remove(backend: Backend, request: Request) -> Reply:
    gone = backend.engine.images.remove(request.name, force=request.query.flag("force"))
    return document(_told(gone))


def _prune(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, _PRUNE)
    dangling = "dangling" not in filters or _truth(filters["dangling"])
    pruned = backend.engine.images.prune(unused=not dangling, only=narrowed(filters))
    gone = _told(pruned.removed) or None
    return document({"ImagesDeleted": gone, "SpaceReclaimed": pruned.size})


def _told(gone: "list[Removed] | tuple[Removed, ...]") -> list[dict[str, str]]:
    return [{each.what: each.subject} for each in gone]


ROUTES = (
    Route("GET", "/images/json", _list),
    Route("POST", "/images/prune", _prune),
    Route("GET", "/images/{name}/json", _inspect),
    Route("GET", "/images/{name}/history", _history),
    Route("POST", "/images/{name}/tag", _tag),
    Route("DELETE", "/images/{name}", _remove),
)
