"""How a host is reached: what it must prove, which proxy leads there, how long is waited for it.

Knows the settings, certificates and names; sends nothing.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from lamina.errors import ConfigurationError, RegistryError
from lamina.registry.address import is_loopback


class Settings(NamedTuple):
    """How registries are spoken to. `insecure` are hosts, and networks of hosts, that may do
    without proof of who they are; `certificates` folders with a folder per host (docker's
    `certs.d`); `proxies` the environment's words; `timeout` the seconds in which an answer begins,
    and of silence in the middle of one.
    """

    insecure: frozenset[str] = frozenset()
    certificates: tuple[str, ...] = ("/etc/docker/certs.d", "/etc/containers/certs.d")
    proxies: Mapping[str, str] = {}
    timeout: float = 60.0


def context_for(settings: Settings, host: str) -> ssl.SSLContext:
    """How a host must prove who it is, and who we are there; raises `RegistryError`."""
    context = ssl.create_default_context()
    try:
        for folder in settings.certificates:
            _take_certificates(context, os.path.join(folder, host))
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(f"the certificates for {host} cannot be read: {error}") from error
    if is_insecure(settings, host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def may_do_without_tls(settings: Settings, host: str) -> bool:
    """Whether nothing need prove that a host is who it says: it is this machine, or was named."""
    return is_loopback(_name(host)) or is_insecure(settings, host)


def is_insecure(settings: Settings, host: str) -> bool:
    """Whether a host was named as one that need not prove who it is, by itself or its network."""
    if host in settings.insecure:
        return True
    networks = [_network(each) for each in settings.insecure if "/" in each]
    return bool(networks) and any(
        address in network for address in _addresses(_name(host)) for network in networks
    )


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"{text[:80]!r} in insecure-registries is neither a host nor a network"
        ) from None


def _addresses(name: str) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def _take_certificates(context: ssl.SSLContext, folder: str) -> None:
    """docker's way: `*.crt` are authorities, `NAME.cert` with `NAME.key` show who we are."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".crt"):
            context.load_verify_locations(path)
        elif name.endswith(".cert"):
            context.load_cert_chain(path, f"{path.removesuffix('.cert')}.key")


def proxy_for(environment: Mapping[str, str], scheme: str, host: str) -> str | None:
    """The proxy for a host, as curl reads the environment (lower case first; NO_PROXY)."""
    if not environment:
        return None

    def word(name: str) -> str | None:
        return environment.get(name) or environment.get(name.upper())

    refused = (each.strip() for each in (word("no_proxy") or "").split(","))
    if is_loopback(_name(host)) or any(_covers(each, host) for each in refused if each):
        return None
    return word(f"{scheme}_proxy") or word("all_proxy")


def _name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _covers(pattern: str, host: str) -> bool:
    """Whether a word of NO_PROXY means a host: a domain, an address or a network."""
    if pattern in ("*", host):
        return True
    name = _name(host)
    try:
        return ip_address(name) in ip_network(pattern, strict=False)
    except ValueError:
        domain = pattern.removeprefix("*").removeprefix(".")
        return name == domain or name.endswith(f".{domain}")
