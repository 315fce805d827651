"""containers-policy.json(5): which images may be taken from where, and signed by whom.

The user's own file stands for the system's; without any, everything is accepted, as docker does.
A file that is not understood is an error, and a requirement that cannot be checked here refuses.
"""

import os
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from lamina.errors import BadInput, ConfigurationError, NotTrusted
from lamina.registry.identity import Identity
from lamina.registry.identity import read as read_identity
from lamina.spec import strictjson
from lamina.spec.strictjson import Json
from lamina.values.reference import Reference

_SYSTEM = "/etc/containers/policy.json"
_WAYS = {
    "sigstoreSigned": ("keyPath", "keyPaths", "keyData", "keyDatas"),
    "signedBy": ("keyPath", "keyPaths", "keyData"),
}
_KEY_TYPES = ("GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs")
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
    """A signature by one of some keys (paths, or as they are), which names the image so.

    `by_gpg`: as GPG signs, with keys as it exports them; else as sigstore does, with keys in PEM.
    """

    paths: tuple[str, ...]
    keys: tuple[bytes, ...]
    identity: Identity
    by_gpg: bool = False

    def public_keys(self) -> Iterator[bytes]:
        """The keys; raises `ConfigurationError`."""
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
        for scope in (*scopes_of(name), ""):
            if scope in scopes:
                return scopes[scope]
        return self.default

    def refuse_file(self, transport: str, path: str) -> None:
        """Raise `NotTrusted` for an image in a file or a folder that the policy does not accept.

        Narrower scopes are the path and the folders that it is in; an archive of docker's has none.
        Signatures are looked for at registries alone.
        """
        scopes = self.transports.get(transport, {})
        named = (each for each in _places(transport, path) if each in scopes)
        scope = next(named, None)
        for wanted in self.default if scope is None else scopes[scope]:
            if isinstance(wanted, Reject):
                raise NotTrusted(f"{transport}:{path} is rejected by {self.path}")
            if not isinstance(wanted, Accept):
                raise NotTrusted(
                    f"{self.path} wants {transport}:{path} to be signed, which only what comes from"
                    " a registry can be"
                )


def _places(transport: str, path: str) -> Iterator[str]:
    at = os.path.realpath(path) if transport != "docker-archive" else "/"
    while at != "/":
        yield at
        at = os.path.dirname(at)
    yield ""


ANYTHING = Policy("", (Accept(),), {})


def scopes_of(name: Reference) -> Iterator[str]:
    """Where a name may be spoken of: itself, its parents, its host, `*.domain`."""
    yield str(name)
    parts = name.name.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    labels = name.domain.split(".")
    for begin in range(1, len(labels)):
        yield ".".join(("*", *labels[begin:]))


def read(environ: Mapping[str, str], system: str = _SYSTEM) -> Policy:
    """The policy for this user; raises `ConfigurationError` naming the file.

    In the home comes first, wherever XDG_CONFIG_HOME is: podman and skopeo look there alone.
    """
    home, config = environ.get("HOME", ""), environ.get("XDG_CONFIG_HOME", "")
    folders = [os.path.join(home, ".config"), config] if home else [config]
    own = [os.path.join(each, "containers", "policy.json") for each in folders if each]
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
        case "signedBaseLayer":
            return Unchecked("a signature of its base (signedBaseLayer)")
        case "signedBy" | "sigstoreSigned":
            return _signed(document, kind, where)
    raise ValueError(f"{where} wants {kind[:60]!r}")


def _signed(document: dict[str, Json], kind: str, where: str) -> Requirement:
    known = {"type", "signedIdentity", *_WAYS[kind], *(["keyType"] if kind == "signedBy" else [])}
    others = sorted(set(document) - known)
    if others and kind == "signedBy":
        raise ValueError(f"signedBy of {where} has no {others[0][:60]!r}")
    if others:
        return Unchecked(f"sigstoreSigned with {others[0][:60]}")
    ways = [key for key in _WAYS[kind] if key in document]
    paths = [each for key in ways if "Path" in key for each in _texts(document, key, where)]
    data = [each for key in ways if "Data" in key for each in _texts(document, key, where)]
    if len(ways) != 1 or not paths + data:
        raise ValueError(f"{kind} of {where} wants one of {', '.join(_WAYS[kind])}")
    identity = read_identity(strictjson.mapping(document, "signedIdentity", where))
    keys = tuple(b64decode(each, validate=True) for each in data)
    if kind == "sigstoreSigned":
        return Signed(tuple(paths), keys, identity)
    form = strictjson.text(document, "keyType", where)
    if form not in _KEY_TYPES:
        raise ValueError(f"signedBy of {where} has the keyType {form[:60]!r}")
    if form != _KEY_TYPES[0]:
        return Unchecked(f"signedBy with the keyType {form}")
    return Signed(tuple(paths), keys, identity, by_gpg=True)


def _texts(document: dict[str, Json], key: str, where: str) -> list[str]:
    if key not in document:
        return []
    value = document[key]
    listed = value if isinstance(value, list) else [value]
    found = [each for each in listed if isinstance(each, str) and each]
    if len(found) != len(listed):
        raise ValueError(f"{key} of {where} is not as it should be")
    return found
