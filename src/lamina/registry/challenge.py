"""What a registry asks for when it refuses: WWW-Authenticate (RFC 9110, section 11.6.1).

Pure. Also says whom a registry may send its users to for a token.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from lamina.errors import RegistryError
from lamina.registry.address import Address, is_local

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*,?\s*({_TOKEN})(?=[\s,]|$)(?!\s*=)")
_PARAMETER = re.compile(rf'\s*,?\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_ESCAPED = re.compile(r"\\(.)")
_LONGEST = 8192  # characters of a header that are looked at


class Challenge(NamedTuple):
    """One way to prove who one is; for Bearer `realm` is where tokens are given out."""

    scheme: str
    realm: str
    service: str
    scope: str


def parse(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of some WWW-Authenticate headers in order; what is no challenge is left."""
    found = []
    for scheme, parameters in _challenges(", ".join(headers)[:_LONGEST]):
        get = parameters.get
        found.append(
            Challenge(scheme.lower(), get("realm", ""), get("service", ""), get("scope", ""))
        )
    return found


def _challenges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = 0
    while scheme := _SCHEME.match(text, at):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
        yield scheme[1], parameters


def trusted_realm(realm: str, registry: Address) -> str:
    """The address of a token service that a registry may choose; raises `RegistryError`.

    It is sent credentials: never without TLS, except where the registry itself is, and on the
    same host; and no registry elsewhere may send anybody to this machine or its network's own
    services (CVE-2026-33540, CVE-2026-48978).
    """
    try:
        parts = urlsplit(realm)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise RegistryError(f"{registry.host} names {realm[:200]!r} as its token service")
    own = host == registry.hostname
    if parts.scheme == "http" and not (own and registry.scheme == "http"):
        raise RegistryError(
            f"{registry.host} sends its users to a token service without TLS ({parts.netloc})"
        )
    if is_local(host) and not (own or is_local(registry.hostname)):
        raise RegistryError(
            f"{registry.host} sends its users to a token service on this machine ({parts.netloc})"
        )
    return realm
