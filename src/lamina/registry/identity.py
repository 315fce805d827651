"""Whether the name in a signature is the name of the image that is wanted. Pure.

`signedIdentity` of containers-policy.json(5).
"""

from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import InvalidReference
from lamina.registry.sources import matched
from lamina.spec import strictjson
from lamina.spec.strictjson import Json
from lamina.values.reference import Reference

_FIELDS = {
    "matchExact": (),
    "matchRepoDigestOrExact": (),
    "matchRepository": (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


class Identity(NamedTuple):
    """One way to compare, and what it compares with."""

    kind: str = "matchRepoDigestOrExact"
    words: tuple[str, ...] = ()

    def accepts(self, name: Reference, said: str) -> bool:
        """Whether a signature that says `said` is for the image called `name`."""
        try:
            signed = Reference.parse(said)
            return _WAYS[self.kind](name, signed, self.words)
        except InvalidReference:
            return False


def read(document: dict[str, Json]) -> Identity:
    """What a policy says; raises `ValueError` or `BadDocument`."""
    what = "signedIdentity"
    if not document:
        return Identity()
    kind = strictjson.text(document, "type", what)
    fields = _FIELDS.get(kind)
    if fields is None or set(document) != {"type", *fields}:
        raise ValueError(f"{what} is not as it should be ({kind[:60]!r})")
    return Identity(kind, tuple(strictjson.text(document, field, what) for field in fields))


def _exact(name: Reference, signed: Reference, _words: tuple[str, ...]) -> bool:
    if name.tag is None:
        return name.digest is not None and signed == name
    return (signed.name, signed.tag) == (name.name, name.tag)


def _exact_or_digest(name: Reference, signed: Reference, words: tuple[str, ...]) -> bool:
    if name.tag is not None:
        return _exact(name, signed, words)
    says_which = (signed.tag, signed.digest) != (None, None)
    return name.digest is not None and signed.name == name.name and says_which


def _repository(name: Reference, signed: Reference, _words: tuple[str, ...]) -> bool:
    return signed.name == name.name


def _this_reference(_name: Reference, signed: Reference, words: tuple[str, ...]) -> bool:
    return signed[2:] != (None, None) and signed == Reference.parse(words[0])


def _this_repository(_name: Reference, signed: Reference, words: tuple[str, ...]) -> bool:
    return signed.name == Reference.parse(words[0]).name


def _remapped(name: Reference, signed: Reference, words: tuple[str, ...]) -> bool:
    prefix, replacement = words
    length = matched(str(name), prefix)
    meant = Reference.parse(replacement + str(name)[length:]) if length else name
    return _exact_or_digest(meant, signed, ())


_WAYS: dict[str, Callable[[Reference, Reference, tuple[str, ...]], bool]] = {
    "matchExact": _exact,
    "matchRepoDigestOrExact": _exact_or_digest,
    "matchRepository": _repository,
    "exactReference": _this_reference,
    "exactRepository": _this_repository,
    "remapIdentity": _remapped,
}
