"""How the ends of a copy are written: `transport:details`, as containers-transports(5) has it.

    docker://NAME[:TAG|@DIGEST]           a registry
    oci:DIRECTORY[:REF]                   an OCI layout
    oci-archive:FILE[:REF]                the same as one tar
    docker-archive:FILE[:NAME[:TAG]]      what `docker save` writes
    dir:DIRECTORY                         skopeo's plain directory
    lamina:NAME                           the store that is open
    docker:ROOT:NAME                      docker's own data root (to read alone)
    containers-storage:ROOT:NAME          podman's own store (to read alone)

REF may be `@N`, the Nth image counted from 0, where one is read. A path holds no colon. A path in
the image may follow behind a colon where a command takes one: it begins with a slash, so that the
first `:/` after the transport is where it begins. Pure.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from lamina.errors import InvalidReference, UsageError
from lamina.values.reference import Reference

_KNOWN = "docker://, oci:, oci-archive:, docker-archive:, dir:, lamina:, docker:, "
_KNOWN += "containers-storage:"


class RegistryEnd(NamedTuple):
    """A name at a registry, with a tag or a digest."""

    name: Reference


class LayoutEnd(NamedTuple):
    """An OCI layout, in a directory or (`packed`) in a tar; `ref` is "" for none."""

    path: str
    ref: str
    packed: bool


class DockerArchiveEnd(NamedTuple):
    """A docker archive; `ref` is a name, `@N` or ""."""

    path: str
    ref: str


class DirectoryEnd(NamedTuple):
    """A directory of plain files."""

    path: str


class StoreEnd(NamedTuple):
    """An image of Lamina's own store."""

    name: str


class ForeignEnd(NamedTuple):
    """An image of another engine's store; `root` is "" for where that usually lies."""

    kind: str
    root: str
    name: str


End: TypeAlias = RegistryEnd | LayoutEnd | DockerArchiveEnd | DirectoryEnd | StoreEnd | ForeignEnd


def parse(text: str) -> End:
    """Read what a user typed; raises `UsageError` saying what is wrong."""
    transport, colon, details = text.partition(":")
    read = _TRANSPORTS.get(transport)
    if not colon or read is None:
        raise UsageError(f"{text[:200]!r} names no transport", hint=f"one of {_KNOWN}")
    if "\0" in details:
        raise UsageError(f"{text[:200]!r} holds a NUL")
    return read(transport, details)


def names_end(text: str) -> bool:
    """Whether a text that is no stored image means an end (`docker:dind` does not)."""
    transport, colon, details = text.partition(":")
    if transport == "docker":
        return details.startswith(("/", ".", ":"))
    return bool(colon) and transport in _TRANSPORTS


def path_of(text: str) -> tuple[str, str | None]:
    """An end and the path in its image, `END:/PATH`; None for the path where there is none."""
    transport, _, details = text.partition(":")
    start = len(transport) + (3 if details.startswith("//") else 1)
    at = text.find(":/", start)
    return (text, None) if at < 0 else (text[:at], text[at + 1 :])


def _docker(transport: str, details: str) -> End:
    if details.startswith("//"):
        return RegistryEnd(Reference.parse(details[2:]).with_default_tag())
    if details.startswith(("/", ".", ":")):
        return _foreign(transport, details)
    raise UsageError(
        f"docker:{details[:200]} is neither a registry nor a data root",
        hint="write docker://NAME for a registry, docker:/ROOT:NAME for docker's own files",
    )


def _foreign(transport: str, details: str) -> End:
    root, _, name = details.partition(":")
    if not details.startswith(("/", ".", ":")):
        root, name = "", details  # as podman: a name in the usual store
    if not name:
        raise UsageError(
            f"{transport}:{details[:200]} names no image", hint=f"write {transport}:ROOT:NAME"
        )
    return ForeignEnd(transport, root, name)


def _layout(transport: str, details: str) -> End:
    path, ref = _path(transport, details)
    return LayoutEnd(path, ref, transport == "oci-archive")


def _docker_archive(transport: str, details: str) -> End:
    path, ref = _path(transport, details)
    if ref and not ref.startswith("@"):
        name = Reference.parse(ref).with_default_tag()
        if name.digest is not None:
            raise InvalidReference(f"a docker archive has no image by digest ({ref[:200]})")
    return DockerArchiveEnd(path, ref)


def _directory(transport: str, details: str) -> End:
    if not details:
        raise UsageError(f"{transport}: names no directory")
    return DirectoryEnd(details)


def _store(transport: str, details: str) -> End:
    if not details:
        raise UsageError(f"{transport}: names no image")
    return StoreEnd(details)


def _path(transport: str, details: str) -> tuple[str, str]:
    path, _, ref = details.partition(":")
    if not path:
        raise UsageError(f"{transport}:{details[:200]} names no file or directory")
    return path, ref


def numbered(ref: str) -> int | None:
    """The N of `@N`; None for any other text. Raises `UsageError` for `@` and no number."""
    if not ref.startswith("@"):
        return None
    digits = ref[1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) < 7):
        raise UsageError(f"{ref[:100]!r} is no image's number", hint="count from @0")
    return int(digits)


_TRANSPORTS: dict[str, Callable[[str, str], End]] = {
    "docker": _docker,
    "oci": _layout,
    "oci-archive": _layout,
    "docker-archive": _docker_archive,
    "dir": _directory,
    "lamina": _store,
    "containers-storage": _foreign,
}
