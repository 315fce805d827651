"""Where a registry is: from the domain of an image's name to a host. Pure."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from lamina.errors import RegistryError

_DOCKER_HUB = "registry-1.docker.io"  # what `docker.io` in a name stands for


class Address(NamedTuple):
    """A scheme and a host with its port."""

    scheme: str
    host: str

    @property
    def base(self) -> str:
        """The beginning of every URL there."""
        return f"{self.scheme}://{self.host}"

    @property
    def hostname(self) -> str:
        """The host without its port."""
        return urlsplit(self.base).hostname or ""


def host_of(domain: str) -> str:
    """The host that answers for the domain of a name."""
    return _DOCKER_HUB if domain == "docker.io" else domain


def is_local(hostname: str) -> bool:
    """Whether a host is this very machine, or one that only its own network knows."""
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def is_loopback(hostname: str) -> bool:
    """Whether a host is this machine: docker speaks to it without TLS unasked."""
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname.strip("[]")).is_loopback
    except ValueError:
        return False


def same_host(first: str, second: str) -> bool:
    """Whether two URLs lead to one host and port by one scheme; never for what is no URL."""
    try:
        return _place(first) == _place(second)
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def joined(base: str, target: str) -> str:
    """The URL that a Location or Link means, seen from `base`; raises `RegistryError`."""
    try:
        url = urljoin(base, target)
        _place(url)
    except ValueError:
        url = ""
    if not url.startswith(("http://", "https://")) or "@" in urlsplit(url).netloc:
        raise RegistryError(f"{urlsplit(base).netloc} leads to {target[:200]!r}")
    return url
