"""Whom a container finds by which name: entries for its /etc/hosts, and its resolvers."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from lamina.errors import UsageError

_GATEWAY = "host-gateway"  # docker's word for this machine


class Naming(NamedTuple):
    """What is said besides, or instead of, what this machine says itself.

    `hosts` are pairs of a name and an address; `servers` are addresses, `search` domains and
    `options` those of resolv.conf(5). Nothing said leaves the machine's own.
    """

    hosts: tuple[tuple[str, str], ...] = ()
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def from_facts(cls, facts: list[list[str]]) -> Self:
        """Read back what was stored of one as a list."""
        if not facts:
            return cls()
        hosts, *words = facts
        pairs = tuple((pair[0], pair[1]) for pair in hosts)
        return cls(pairs, *(tuple(each) for each in words))


def naming(
    hosts: Iterable[str],
    servers: Iterable[str],
    search: Iterable[str],
    options: Iterable[str],
    network: str,
) -> Naming:
    """The same, of docker's `NAME:ADDRESS` (or `NAME=ADDRESS`) and words; raises `UsageError`."""
    pairs = tuple(_host(text, network) for text in hosts)
    for address in servers:
        _check_address(address)
    words = tuple(word for text in options for word in text.split())
    found = Naming(pairs, tuple(servers), tuple(search), words)
    for word in (*found.search, *found.options):
        if not word or len(word) > 255 or not word.isprintable() or " " in word:
            raise UsageError(f"invalid word {word[:60]!r} for resolv.conf")
    return found


def _host(text: str, network: str) -> tuple[str, str]:
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name or not name.isprintable() or any(c.isspace() for c in name):
        raise UsageError(f"invalid host {text[:100]!r}", hint="write it as NAME:ADDRESS")
    address = address.removeprefix("[").removesuffix("]")
    if address == _GATEWAY:
        if network != "host":
            raise UsageError(f"{name} cannot be this machine: the container has no network")
        return name, "127.0.0.1"
    _check_address(address)
    return name, address


def _check_address(text: str) -> None:
    import socket  # few give addresses

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return
    raise UsageError(f"invalid IP address {text[:60]!r}", hint="write it as 10.0.0.1 or fd00::1")
