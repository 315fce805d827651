"""What answers a request has of the store: an engine of its own, opened when it is needed.

Each request opens the store and closes it again, as a command does: nothing of one is seen by
another but by way of the store, and what a dead process left is put right by the next request.
"""

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.docker_api.execs import Execs
from lamina.docker_api.hub import Hub
from lamina.engine import Engine
from lamina.errors import UsageError

if TYPE_CHECKING:  # what speaks to registries is loaded by what does
    from lamina.engine.registries import Registries

Open = Callable[[], Engine]


class Backend:
    """The store, as one request sees it."""

    def __init__(self, opener: Open, bell: Callable[[], int], hub: Hub, execs: Execs) -> None:
        self.opener = opener
        self.bell = bell  # gives a descriptor that is readable once the client is gone
        self.hub = hub
        self.execs = execs
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The store, open; raises what opening it raises."""
        if self._engine is None:
            self._engine = self.opener()
        return self._engine

    def close(self) -> None:
        """Let go of the store."""
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
    if not header:
        return "", "", ""
    try:
        found = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        raise UsageError("the X-Registry-Auth header cannot be read") from None
    if not isinstance(found, dict):
        raise UsageError("the X-Registry-Auth header is no JSON object")
    return login_of(found)


def login_of(found: dict[str, object]) -> tuple[str, str, str]:
    """User, secret and identity token of docker's AuthConfig."""
    keys = ("username", "password", "identitytoken")
    user, secret, token = (str(found.get(key) or "") for key in keys)
    return user, secret, token
