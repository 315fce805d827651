"""Images on their way in and out: pull, push, save, load, import, and what a registry has."""

from collections.abc import Iterator

from lamina.docker_api import records
from lamina.docker_api.backend import Backend
from lamina.docker_api.replies import TAR, Reply, Stream, Write, document
from lamina.docker_api.request import Query, Request
from lamina.docker_api.routing import Route
from lamina.engine.registries import Registries
from lamina.errors import ImageNotFound, UsageError
from lamina.values.reference import Reference

_AUTH = "x-registry-auth"


def _create(backend: Backend, request: Request) -> Reply:
    if request.query.text("fromImage"):
        return _pull(backend, request)
    if request.query.text("fromSrc"):
        return _import(backend, request)
    raise UsageError("neither fromImage nor fromSrc says where the image is to come from")


# --- from and to registries -------------------------------------------------------------------


def _pull(backend: Backend, request: Request) -> Reply:
    name = _wanted(request.query)
    platform = request.query.text("platform") or None
    registries = backend.registries(request.headers.get(_AUTH, ""), name.domain)

    def produce(write: Write) -> None:
        for each in _each(registries, name):
            _pull_one(backend, registries, each, platform, write)

    return Stream(produce, told=records.failed)


def _wanted(query: Query) -> Reference:
    """The image that a client names in two parts, of which the second may be a digest."""
    image, tag = query.text("fromImage"), query.text("tag")
    if not tag:
        return Reference.parse(image.removesuffix(":"))
    return Reference.parse(f"{image}@{tag}" if ":" in tag else f"{image}:{tag}")


def _each(registries: Registries, name: Reference) -> Iterator[Reference]:
    """The image, or every tag of a repository that is named alone."""
    if name.tag is not None or name.digest is not None:
        yield name
        return
    for tag in registries.tags(name):
        yield name._replace(tag=tag)


def _pull_one(
    backend: Backend,
    registries: Registries,
    name: Reference,
    platform: str | None,
    write: Write,
) -> None:
    # held back until the registry has answered: before that an error is one of HTTP
    held = [records.status(f"Pulling from {name.path}", str(name.tag or name.digest))]

    def tell(data: bytes) -> None:
        if held:
            write(held.pop())
        write(data)

    pulled = backend.engine.images.pull(
        str(name), platform=platform, registries=registries, events=records.pulling(tell)
    )
    state = "Downloaded newer image for" if pulled.fresh else "Image is up to date for"
    tell(records.status(f"Digest: {pulled.digest}"))
    tell(records.status(f"Status: {state} {name.familiar}"))


def _push(backend: Backend, request: Request) -> Reply:
    name = Reference.parse(request.name)
    tag = request.query.text("tag")
    if tag:
        name = name._replace(tag=tag)
    registries = backend.registries(request.headers.get(_AUTH, ""), name.domain)

    def produce(write: Write) -> None:
        write(records.status(f"The push refers to repository [{name.name}]"))
        for each in _named_here(backend, name):
            _push_one(backend, registries, each, write)

    return Stream(produce, told=records.failed)


def _named_here(backend: Backend, name: Reference) -> list[Reference]:
    """The image that is meant, or all of its repository that have a tag here."""
    found = [
        Reference.stored(each)
        for image in backend.engine.images.list(name.familiar_name)
        for each in image.names
    ]
    wanted = [each for each in found if each.name == name.name and each.tag is not None]
    if name.tag is not None:
        wanted = [each for each in wanted if each.tag == name.tag]
    if not wanted:
        raise ImageNotFound(f"An image does not exist locally with the tag: {name.name}")
    return sorted(wanted)


def _push_one(backend: Backend, registries: Registries, name: Reference, write: Write) -> None:
    pushed = backend.engine.images.push(
        str(name), registries=registries, events=records.pushing(write)
    )
    write(records.status(f"{name.tag}: digest: {pushed.digest} size: {pushed.size}"))
    aux = {"Tag": name.tag, "Digest": str(pushed.digest), "Size": pushed.size}
    write(records.line({"progressDetail": {}, "aux": aux}))


def _distribution(backend: Backend, request: Request) -> Reply:
    from lamina.engine.describing import described

    name = Reference.parse(request.name).with_default_tag()
    registries = backend.registries(request.headers.get(_AUTH, ""), name.domain)
    found = described(registries, name, backend.engine.sink)
    keys = ("os", "architecture", "variant")
    platforms = [
        {key: said for key, said in zip(keys, each, strict=True) if said}
        for each in found.platforms
    ]
    return document({"Descriptor": found.descriptor.as_json(), "Platforms": platforms})


# --- from and to archives ---------------------------------------------------------------------


def _save_one(backend: Backend, request: Request) -> Reply:
    return _saved(backend, [request.name])


def _save(backend: Backend, request: Request) -> Reply:
    names = request.query.all("names")
    if not names:
        raise UsageError("no image is named that is to be saved")
    return _saved(backend, names)


def _saved(backend: Backend, names: list[str]) -> Reply:
    return Stream(lambda write: backend.engine.images.save(names, write), TAR)


def _load(backend: Backend, request: Request) -> Reply:
    quiet = request.query.flag("quiet")

    def produce(write: Write) -> None:
        write(b"")  # docker tells of a bad archive in the stream, and its clients look there
        told = records.loading(write) if not quiet else None
        loaded = backend.engine.images.load(
            request.body, platform=_platform(request.query), events=told
        )
        for each in loaded:
            for name in each.replaced:
                words = f"The image {name} existed already; the old one has no name now\n"
                write(records.line({"stream": words}))
            for name in each.names:
                write(records.line({"stream": f"Loaded image: {name}\n"}))
            if not each.names:
                write(records.line({"stream": f"Loaded image ID: {each.image.id}\n"}))

    return Stream(produce, told=records.failed)


def _platform(query: Query) -> str | None:
    """A platform as newer clients send it, as JSON; raises `UsageError`."""
    found = query.document("platform") if query.text("platform").startswith("{") else None
    if not isinstance(found, dict):
        return query.text("platform") or None
    parts = (found.get("os"), found.get("architecture"), found.get("variant"))
    return "/".join(str(part) for part in parts if part)


def _import(backend: Backend, request: Request) -> Reply:
    query = request.query
    if query.text("fromSrc") != "-":
        raise UsageError(
            "an image is imported from what is sent alone, not from a URL",
            hint="fetch it and send it: curl -L URL | docker import -",
        )
    repository, tag = query.text("repo"), query.text("tag")

    def produce(write: Write) -> None:
        image = backend.engine.images.import_(
            request.body,
            repository=(f"{repository}:{tag}" if tag else repository) or None,
            changes=query.all("changes"),
            message=query.text("message"),
            platform=query.text("platform") or None,
        )
        write(records.status(image.id))

    return Stream(produce, told=records.failed)


ROUTES = (
    Route("POST", "/images/create", _create),
    Route("POST", "/images/load", _load),
    Route("GET", "/images/get", _save),
    Route("GET", "/images/{name}/get", _save_one),
    Route("POST", "/images/{name}/push", _push),
    Route("GET", "/distribution/{name}/json", _distribution),
)
