"""Files of containers: what was changed, in and out as tars, and the image of it all."""

import json
import stat
from base64 import b64encode

from lamina.containers.archive import PathFacts
from lamina.docker_api.backend import Backend
from lamina.docker_api.fields import Fields
from lamina.docker_api.replies import OCTETS, TAR, Headers, Reply, Stream, Whole, document, empty
from lamina.docker_api.request import Request
from lamina.docker_api.routing import Route
from lamina.engine.container import Container
from lamina.errors import PathNotFound, UsageError
from lamina.spec.imageconfig import format_time

_KINDS = {"C": 0, "A": 1, "D": 2}
# Go's io/fs mode bits, beside the nine of permissions
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_LISTS = {"Cmd": "CMD", "Entrypoint": "ENTRYPOINT"}
_WORDS = {"User": "USER", "WorkingDir": "WORKDIR"}


def _changes(backend: Backend, request: Request) -> Reply:
    told = [
        {"Path": "/" + each.path.decode("utf-8", "replace"), "Kind": _KINDS[each.kind]}
        for each in backend.engine.containers.get(request.name).diff()
    ]
    return document(told or None)


def _export(backend: Backend, request: Request) -> Reply:
    container = backend.engine.containers.get(request.name)
    return Stream(container.export, OCTETS)


# --- the archive endpoint -----------------------------------------------------------------------


def _stat(backend: Backend, request: Request) -> Reply:
    container, path = _named(backend, request)
    return Whole(200, b"", "", _told(_facts(container, path)))


def _get(backend: Backend, request: Request) -> Reply:
    container, path = _named(backend, request)
    headers = _told(_facts(container, path))
    return Stream(lambda write: container.get_archive(path, write), TAR, headers)


def _put(backend: Backend, request: Request) -> Reply:
    container, path = _named(backend, request)
    facts = _facts(container, path if path.endswith("/") else f"{path}/.")
    if not stat.S_ISDIR(facts.status.st_mode):
        raise UsageError("extraction point is not a directory")
    container.put_archive(path, request.body)
    return empty(200)


def _named(backend: Backend, request: Request) -> tuple[Container, str]:
    path = request.query.text("path")
    if not path:
        raise UsageError("bad parameter: the path is empty")
    return backend.engine.containers.get(request.name), path


def _facts(container: Container, path: str) -> PathFacts:
    try:
        return container.facts(path)
    except PathNotFound:
        raise PathNotFound(
            f"Could not find the file {path} in container {container.name}"
        ) from None


def _told(facts: PathFacts) -> Headers:
    """docker's header that tells of a path."""
    found = facts.status
    mode = stat.S_IMODE(found.st_mode) & 0o777 | _GO_KINDS.get(stat.S_IFMT(found.st_mode), 0)
    mode |= sum(go for bit, go in _GO_BITS.items() if found.st_mode & bit)
    told = {
        "name": facts.name,
        "size": found.st_size,
        "mode": mode,
        "mtime": format_time(found.st_mtime),
        "linkTarget": facts.link,
    }
    return (("X-Docker-Container-Path-Stat", b64encode(json.dumps(told).encode()).decode()),)


# --- commit -------------------------------------------------------------------------------------


def _commit(backend: Backend, request: Request) -> Reply:
    query = request.query
    said = Fields(request.document())
    container = backend.engine.containers.get(query.text("container"))
    image = container.commit(
        query.text("repo") or None,
        query.text("tag") or None,
        message=query.text("comment"),
        author=query.text("author"),
        changes=[*_as_changes(said), *query.all("changes")],
        pause=query.flag("pause", True),
    )
    return document({"Id": image.id}, 201)


def _as_changes(said: Fields) -> list[str]:
    """What a Config in the body asks for, as instructions of a Dockerfile."""
    found = []
    for field, verb in _LISTS.items():
        words = said.texts(field)
        if words:
            found.append(f"{verb} {json.dumps(list(words))}")
    for field, verb in _WORDS.items():
        if said.text(field):
            found.append(f"{verb} {said.text(field)}")
    for each in said.texts("Env"):
        key, _, value = each.partition("=")
        found.append(f"ENV {key}={_quoted(value)}")
    for key, value in said.mapping("Labels").items():
        found.append(f"LABEL {_quoted(key)}={_quoted(value)}")
    found += [f"EXPOSE {port}" for port in said.names("ExposedPorts")]
    found += [f"VOLUME {json.dumps([path])}" for path in said.names("Volumes")]
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


ROUTES = (
    Route("GET", "/containers/{name}/changes", _changes),
    Route("GET", "/containers/{name}/export", _export),
    Route("HEAD", "/containers/{name}/archive", _stat),
    Route("GET", "/containers/{name}/archive", _get),
    Route("PUT", "/containers/{name}/archive", _put),
    Route("POST", "/commit", _commit),
)
