"""What answers a request has of the store: an engine of its own, opened when it is needed.

Each request opens the store and closes it again, as a command does: nothing of one is seen by
another but by way of the store, and what a dead process left is put right by the next request.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from lamina.docker_api.execs import Execs
from lamina.docker_api.hub import Hub
from lamina.docker_api.request import parsed
from lamina.engine import Engine
from lamina.errors import UsageError
from lamina.values.closing import Closing

if TYPE_CHECKING:  # what speaks to registries is loaded by what does
    from lamina.engine.registries import Registries

Open = Callable[[], Engine]
Kept = TypeVar("Kept", bound=Closing)


class Backend:
    """The store, as one request sees it."""

    def __init__(self, opener: Open, bell: Callable[[], int], hub: Hub, execs: Execs) -> None:
        self.opener = opener
        self.bell = bell  # gives a descriptor that is readable once the client is gone
        self.hub = hub
        self.execs = execs
        self._engine: Engine | None = None
        self._ending = ExitStack()

    @property
    def engine(self) -> Engine:
        """The store, open; raises what opening it raises."""
        if self._engine is None:
            self._engine = self.opener()
        return self._engine

    def keep(self, found: Kept) -> Kept:
        """The same, which is closed with this: also when its client leaves before it is used."""
        self._ending.callback(found.close)
        return found

    def close(self) -> None:
        """Let go of the store."""
        self._ending.close()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def registries(self, header: str, domain: str) -> "Registries":
        """Registries, spoken to as the client says who it is at `domain`, and as nobody elsewhere.

        Raises `UsageError` for credentials that cannot be read.
        """
        return self.engine.registries(logins={domain: _login(header)})


def _login(header: str) -> tuple[str, str, str]:
    """User, secret and identity token of an `X-Registry-Auth` header, empty for nobody."""
    return login_of(_opened(header, "X-Registry-Auth"))


def logins_of(header: str) -> dict[str, tuple[str, str, str]]:
    """The same of an `X-Registry-Config` header, by registry; raises `UsageError`."""
    found = _opened(header, "X-Registry-Config")
    return {domain_of(name): login_of(each) for name, each in found.items() if _is_object(each)}


def _is_object(found: object) -> TypeGuard[dict[str, object]]:
    return isinstance(found, dict)


def _opened(header: str, what: str) -> dict[str, object]:
    """The JSON object in a header, by either alphabet of base 64; empty for none."""
    if not header:
        return {}
    plain = header.translate(str.maketrans("+/", "-_")).rstrip("=")
    try:
        found = parsed(urlsafe_b64decode(plain + "=" * (-len(plain) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise UsageError(f"the {what} header cannot be read") from None
    if not _is_object(found):
        raise UsageError(f"the {what} header is no JSON object")
    return found


_HUB = ("", "index.docker.io", "registry-1.docker.io", "docker.io")


def domain_of(address: str) -> str:
    """The registry that a client's address means, as images' names begin with it."""
    host = address.partition("://")[2] if "://" in address else address
    host = host.partition("/")[0]
    return "docker.io" if host in _HUB else host


def login_of(found: dict[str, object]) -> tuple[str, str, str]:
    """User, secret and identity token of docker's AuthConfig."""
    keys = ("username", "password", "identitytoken")
    user, secret, token = (str(found.get(key) or "") for key in keys)
    return user, secret, token
