"""containers-registries.d(5): where the signatures of a registry's images lie.

The user's own folder stands for the system's. A file that is not understood is an error: what it
says might be that something is not to be trusted.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from lamina.errors import BadInput, ConfigurationError
from lamina.registry.policy import scopes_of
from lamina.spec import blockyaml, strictjson
from lamina.spec.blockyaml import Tree
from lamina.values.reference import Reference

_SYSTEM = "/etc/containers/registries.d"
_ROOTS_OWN = "/var/lib/containers/sigstore"
_KEYS = ("lookaside", "lookaside-staging", "sigstore", "sigstore-staging")
_ATTACHED = ("use-sigstore-attachments", "use-cosign-attachments")
_TRUE = frozenset(("true", "True", "TRUE", "yes", "on"))
_FALSE = frozenset(("false", "False", "FALSE", "no", "off"))


class Section(NamedTuple):
    """What is said of one scope in `origin`: "" and None where nothing is."""

    origin: str
    lookaside: str = ""
    attachments: bool | None = None


class Places(NamedTuple):
    """Where signatures lie, by scope; `default` for names without one, `builtin` for no word."""

    scopes: Mapping[str, Section]
    default: Section
    builtin: str

    def lookaside(self, name: Reference) -> str:
        """The URL under which the signatures of a name's repository lie."""
        said = next((each.lookaside for each in self._about(name) if each.lookaside), self.builtin)
        return f"{said.rstrip('/')}/{name.path}"

    def without_attachments(self, name: Reference) -> str:
        """The file that says that no sigstore signature of a name is to be used; "" for none."""
        said = (each for each in self._about(name) if each.attachments is not None)
        first = next(said, None)
        return first.origin if first is not None and first.attachments is False else ""

    def _about(self, name: Reference) -> Iterator[Section]:
        yield from (self.scopes[each] for each in scopes_of(name) if each in self.scopes)
        yield self.default


def read(environ: Mapping[str, str], uid: int, system: str = _SYSTEM) -> Places:
    """The places for this user; raises `ConfigurationError` naming the file."""
    home = environ.get("HOME", "")
    own = os.path.join(home, ".config/containers/registries.d") if home else ""
    folder = own if own and os.path.exists(own) else system
    data = _ROOTS_OWN if uid == 0 else os.path.join(home or "/", ".local/share/containers/sigstore")
    scopes: dict[str, Section] = {}
    defaults: list[Section] = []
    for path in _files(folder):
        _add(path, _parsed(path), scopes, defaults)
    return Places(scopes, defaults[0] if defaults else Section(""), f"file://{data}")


def _files(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from None
    return [os.path.join(folder, name) for name in names if name.endswith(".yaml")]


def _parsed(path: str) -> Tree:
    try:
        with open(path, "rb") as file:
            return blockyaml.parse(file.read(strictjson.LIMIT + 1), path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except BadInput as error:
        raise ConfigurationError(error.brief) from None


def _add(path: str, document: Tree, scopes: dict[str, Section], defaults: list[Section]) -> None:
    _refuse_others(path, document, ("default-docker", "docker"))
    if document.get("default-docker") is not None:
        if defaults:
            raise ConfigurationError(f"{path} says default-docker, and so does another file there")
        defaults.append(_section(path, document["default-docker"], "default-docker"))
    listed = document.get("docker")
    if isinstance(listed, str):
        raise ConfigurationError(f"{path}: docker is no mapping")
    for scope, each in (listed or {}).items():
        if scope in scopes:
            raise ConfigurationError(f"{path} says {scope}, and so does {scopes[scope].origin}")
        scopes[scope] = _section(path, each, scope)


def _section(path: str, said: "str | Tree | None", scope: str) -> Section:
    if isinstance(said, str):
        raise ConfigurationError(f"{path}: {scope} is no mapping")
    said = said or {}
    _refuse_others(path, said, (*_KEYS, *_ATTACHED))
    places = [_text(path, said, key) for key in ("lookaside", "sigstore")]
    attachments = [_flag(path, said, key) for key in _ATTACHED]
    return Section(
        path,
        next((place for place in places if place), ""),
        next((each for each in attachments if each is not None), None),
    )


def _text(path: str, said: Tree, key: str) -> str:
    value = said.get(key)
    if isinstance(value, dict):
        raise ConfigurationError(f"{path}: {key} is no text")
    if value and not value.startswith(("file:///", "https://", "http://")):
        raise ConfigurationError(
            f"{path}: {key} is {value[:80]!r}", hint="write file:///FOLDER or https://HOST/PATH"
        )
    return value or ""


def _flag(path: str, said: Tree, key: str) -> bool | None:
    value = said.get(key)
    if value is None or value in _TRUE or value in _FALSE:
        return None if value is None else value in _TRUE
    raise ConfigurationError(f"{path}: {key} is neither true nor false")


def _refuse_others(path: str, said: Tree, known: Iterable[str]) -> None:
    others = sorted(set(said) - set(known))
    if others:
        raise ConfigurationError(f"{path}: there is no {others[0][:60]!r}")
