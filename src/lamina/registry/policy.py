"""containers-policy.json(5): which images may be taken from where, and signed by whom.

The user's own file stands for the system's; without any, everything is accepted, as docker does.
A file that is not understood is an error, and a requirement that cannot be checked here refuses.
"""

import os
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from lamina.errors import BadInput, ConfigurationError
from lamina.registry.identity import Identity
from lamina.registry.identity import read as read_identity
from lamina.spec import strictjson
from lamina.spec.strictjson import Json
from lamina.values.reference import Reference

_SYSTEM = "/etc/containers/policy.json"
_CHECKED = frozenset(("type", "keyPath", "keyData", "keyPaths", "keyDatas", "signedIdentity"))
_LIMIT = 1 << 20  # bytes of a key that are read
_DOCKER = "docker"  # what a registry is called among the transports


class Accept(NamedTuple):
    """Anything will do."""


class Reject(NamedTuple):
    """Nothing will."""


class Unchecked(NamedTuple):
    """Something that is not checked here, and therefore never met; in a few words."""

    what: str


class Signed(NamedTuple):
    """A sigstore signature by one of some keys (paths, or PEM), which names the image so."""

    paths: tuple[str, ...]
    keys: tuple[bytes, ...]
    identity: Identity

    def pems(self) -> Iterator[bytes]:
        """The public keys; raises `ConfigurationError`."""
        yield from self.keys
        for path in self.paths:
            try:
                with open(path, "rb") as file:
                    yield file.read(_LIMIT)
            except OSError as error:
                raise ConfigurationError(
                    f"the key {path} cannot be read: {error.strerror}"
                ) from None


Requirement: TypeAlias = Accept | Reject | Unchecked | Signed
_Scopes = Mapping[str, tuple[Requirement, ...]]


class Policy(NamedTuple):
    """What one file says: requirements by transport and scope, all of which are to be met."""

    path: str
    default: tuple[Requirement, ...]
    transports: Mapping[str, _Scopes]

    def of_image(self, name: Reference) -> tuple[Requirement, ...]:
        """What an image of a registry must meet: by the narrowest scope that speaks of it."""
        scopes = self.transports.get(_DOCKER, {})
        for scope in _scopes(name):
            if scope in scopes:
                return scopes[scope]
        return self.default


ANYTHING = Policy("", (Accept(),), {})


def _scopes(name: Reference) -> Iterator[str]:
    """From the whole name by its parents and its host to `*.domain` and the whole transport."""
    yield str(name)
    parts = name.name.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    labels = name.domain.split(".")
    for begin in range(1, len(labels)):
        yield ".".join(("*", *labels[begin:]))
    yield ""


def read(environ: Mapping[str, str], system: str = _SYSTEM) -> Policy:
    """The policy for this user; raises `ConfigurationError` naming the file."""
    config = environ.get("XDG_CONFIG_HOME") or (
        os.path.join(environ["HOME"], ".config") if environ.get("HOME") else ""
    )
    own = [os.path.join(config, "containers", "policy.json")] if config else []
    for path in (*own, system):
        try:
            with open(path, "rb") as file:
                raw = file.read(strictjson.LIMIT)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        try:
            return _policy(path, strictjson.parse(raw, "policy"))
        except (BadInput, ValueError) as error:
            raise ConfigurationError(f"{path} is not understood: {error}") from None
    return ANYTHING


def _policy(path: str, document: dict[str, Json]) -> Policy:
    _refuse_others(document, ("default", "transports"))
    default = _requirements(document.get("default"), "default")
    transports = {}
    listed = strictjson.mapping(document, "transports", "policy")
    for transport in listed:
        scopes = strictjson.mapping(listed, transport, "policy")
        transports[transport] = {
            scope: _requirements(each, f"{transport} {scope}".rstrip())
            for scope, each in scopes.items()
        }
    return Policy(path, default, transports)


def _refuse_others(document: Mapping[str, Json], known: tuple[str, ...]) -> None:
    others = sorted(set(document) - set(known))
    if others:
        raise ValueError(f"there is no {others[0][:60]!r}")


def _requirements(listed: Json, where: str) -> tuple[Requirement, ...]:
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{where} has no list of requirements")
    return tuple(_requirement(each, where) for each in listed)


def _requirement(document: Json, where: str) -> Requirement:
    if not isinstance(document, dict):
        raise ValueError(f"a requirement of {where} is no object")
    kind = strictjson.text(document, "type", where)
    match kind:
        case "insecureAcceptAnything" | "reject":
            _refuse_others(document, ("type",))
            return Accept() if kind == "insecureAcceptAnything" else Reject()
        case "signedBy" | "signedBaseLayer":
            return Unchecked(f"a signature by GPG ({kind})")
        case "sigstoreSigned":
            return _signed(document, where)
    raise ValueError(f"{where} wants {kind[:60]!r}")


def _signed(document: dict[str, Json], where: str) -> Requirement:
    others = sorted(set(document) - _CHECKED)
    if others:
        return Unchecked(f"sigstoreSigned with {others[0][:60]}")
    paths = (*_texts(document, "keyPath", where), *_texts(document, "keyPaths", where))
    data = (*_texts(document, "keyData", where), *_texts(document, "keyDatas", where))
    ways = [key for key in ("keyPath", "keyData", "keyPaths", "keyDatas") if key in document]
    if len(ways) != 1 or not paths + data:
        raise ValueError(f"sigstoreSigned of {where} wants one of keyPath and keyData")
    identity = read_identity(strictjson.mapping(document, "signedIdentity", where))
    return Signed(paths, tuple(b64decode(each, validate=True) for each in data), identity)


def _texts(document: dict[str, Json], key: str, where: str) -> list[str]:
    if key not in document:
        return []
    value = document[key]
    listed = value if isinstance(value, list) else [value]
    found = [each for each in listed if isinstance(each, str) and each]
    if len(found) != len(listed):
        raise ValueError(f"{key} of {where} is not as it should be")
    return found
