"""From a text such as `docker:/var/lib/docker` to an open store."""

from collections.abc import Callable

from lamina.errors import UsageError, from_oserror
from lamina.foreign.api import ForeignStore
from lamina.foreign.containersstorage import ContainersStore
from lamina.foreign.docker import DockerStore
from lamina.foreign.documents import Documents
from lamina.fs.inroot import Root

_KINDS: dict[str, tuple[str, Callable[[Documents], ForeignStore]]] = {
    "docker": ("/var/lib/docker", DockerStore),
    "containers-storage": ("/var/lib/containers/storage", ContainersStore),
}


def open_foreign(text: str) -> ForeignStore:
    """The store that `KIND:DIRECTORY` (or `KIND:`, for the usual directory) means.

    Raises `UsageError`, `ForeignStore` when it is not one, or a `StorageError`.
    """
    kind, separator, path = text.partition(":")
    if kind not in _KINDS or not separator:
        known = ", ".join(f"{name}:{usual}" for name, (usual, _) in _KINDS.items())
        raise UsageError(f"no store of another engine is written {text!r}", hint=f"try {known}")
    usual, factory = _KINDS[kind]
    directory = path or usual
    try:
        root = Root.at(directory)
    except OSError as error:
        raise from_oserror(error, "opening", directory) from error
    try:
        return factory(Documents(root))
    except BaseException:
        root.close()
        raise
