"""How many are served at once, by the open files that this process may have.

What a request needs is counted before it is begun: so none is lacking in the midst of one, and who
is turned away hears why.
"""

import resource
from typing import NamedTuple

from lamina.docker_api.failures import Crowded, told

_MOST = 1024  # clients, and requests
_OWN = 64  # descriptors of the server itself
_EACH = 16  # of one request: its store, what tells of its client's going, what it follows

TURNED_AWAY = told(
    Crowded(
        "as much is being served as there are descriptors and threads for",
        hint="try again, or raise the server's limits (`ulimit -n`, `ulimit -u`)",
    )
)
"""The reply to whom there is no room for."""


class Room(NamedTuple):
    """How many clients may be connected, and how many requests be answered, at once."""

    clients: int
    requests: int


def room() -> Room:
    """What the limit of open files admits; it is raised to what all need, as far as that may be.

    What is started from here on inherits it, as what dockerd starts does.
    """
    wanted = _OWN + _MOST * (1 + _EACH)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _within(wanted if soft == resource.RLIM_INFINITY else soft)


def _within(descriptors: int) -> Room:
    left = max(descriptors - _OWN, 2)
    clients = min(_MOST, left // 4)
    return Room(clients, max(1, min(_MOST, (left - clients) // _EACH)))


class Crowd:
    """The requests that are being answered; for the event loop alone."""

    def __init__(self, most: int) -> None:
        self._left = most

    def enter(self) -> bool:
        """Whether there is room for one more, which then has it until it `leave`s."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def leave(self) -> None:
        """One is done."""
        self._left += 1
