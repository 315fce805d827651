"""`pause` and `unpause`: everything of a container stands still until it is let go on.

A mark in the room of its start says so; it is there before the first process is stopped and until
the last one was let go on, so that whatever kills us between can be made good by `unpause`.
"""

import os

from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import Conflict, NotRunning
from lamina.execution import pausing
from lamina.fs.atomic import unlink_if_there


def pause(store: ContainerStore, stored: StoredContainer) -> None:
    """Hold it still; raises `NotRunning`, `Conflict` when it is paused, or `RuntimeFailure`."""
    if stored.status == "paused":
        raise Conflict(f"the container {stored.row.name} is paused already")
    keeper = _keeper(stored)
    mark = store.pause_mark(stored.row.id)
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileNotFoundError:
        raise NotRunning(f"the container {stored.row.name} has just ended") from None
    try:
        pausing.hold(keeper)
    except BaseException:
        unlink_if_there(mark)
        raise
    store.announce(stored.row, "pause")


def unpause(store: ContainerStore, stored: StoredContainer) -> None:
    """Let it go on; raises `Conflict` when it is not paused."""
    if stored.status != "paused":
        raise Conflict(f"the container {stored.row.name} is not paused")
    pausing.let_go(_keeper(stored))
    unlink_if_there(store.pause_mark(stored.row.id))
    store.announce(stored.row, "unpause")


def _keeper(stored: StoredContainer) -> int:
    if stored.status == "restarting":
        raise Conflict(
            f"the container {stored.row.name} is about to be started again", hint="try again"
        )
    if not stored.is_up or stored.row.pid is None:
        raise NotRunning(f"the container {stored.row.name} is not running", hint="start it first")
    return stored.row.pid
