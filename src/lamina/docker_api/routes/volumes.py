"""Volumes: create, list, inspect, remove, prune."""

from lamina.docker_api.backend import Backend
from lamina.docker_api.fields import Fields
from lamina.docker_api.narrowing import KNOWN, narrowed
from lamina.docker_api.replies import Reply, document, empty
from lamina.docker_api.request import Filters, Request, refuse_unknown
from lamina.docker_api.routing import Route
from lamina.engine.volumes import Volume
from lamina.errors import UsageError, VolumeNotFound
from lamina.values.narrowing import has_label
from lamina.views.volumes import volume_document

_LIST = ("dangling", "driver", "label", "name")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def _list(backend: Backend, request: Request) -> Reply:
    filters = request.query.filters()
    refuse_unknown(filters, _LIST)
    found = [each for each in backend.engine.volumes.list() if _fits(each, filters)]
    return document({"Volumes": [volume_document(each) for each in found], "Warnings": None})


def _fits(volume: Volume, filters: Filters) -> bool:
    dangling = [_truth(text) for text in filters.get("dangling", ())]
    names, drivers = filters.get("name", ()), filters.get("driver", ())
    return (
        (not dangling or (not volume.users) in dangling)
        and (not names or any(text in volume.name for text in names))
        and (not drivers or "local" in drivers)
        and all(has_label(volume.labels, text) for text in filters.get("label", ()))
    )


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise UsageError(f"invalid filter 'dangling={text[:40]}'", hint="true or false")
    return _TRUTHS[text.lower()]


def _create(backend: Backend, request: Request) -> Reply:
    said = Fields(request.document())
    if said.text("Driver") not in ("", "local"):
        raise VolumeNotFound(f"there is no volume driver {said.text('Driver')[:60]!r}: only local")
    if said.mapping("DriverOpts"):
        raise UsageError(
            "options of the volume driver cannot be had here (DriverOpts)",
            hint="mount it on this machine, and show it with -v /PATH:/TARGET",
        )
    volumes = backend.engine.volumes
    made = volumes.create(said.text("Name") or None, labels=said.mapping("Labels"))
    return document(volume_document(made), 201)


def _inspect(backend: Backend, request: Request) -> Reply:
    return document(volume_document(backend.engine.volumes.get(request.name)))


def _remove(backend: Backend, request: Request) -> Reply:
    try:
        backend.engine.volumes.get(request.name).remove()
    except VolumeNotFound:
        if not request.query.flag("force"):
            raise
    return empty()


def _prune(backend: Backend, request: Request) -> Reply:
    """Those without a name alone, as docker does from 1.42 on unless `all` is said."""
    filters = request.query.filters()
    refuse_unknown(filters, ("all", *KNOWN))
    named = request.before(1, 42) or any(_truth(text) for text in filters.get("all", ()))
    gone = backend.engine.volumes.prune(named=named, only=narrowed(filters))
    return document(
        {
            "VolumesDeleted": [name for name, _ in gone] or None,
            "SpaceReclaimed": sum(size for _, size in gone),
        }
    )


ROUTES = (
    Route("GET", "/volumes", _list),
    Route("POST", "/volumes/create", _create),
    Route("POST", "/volumes/prune", _prune),
    Route("GET", "/volumes/{name}", _inspect),
    Route("DELETE", "/volumes/{name}", _remove),
)
