"""One more command in a container that runs, with what the container itself is run with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lamina.containers.settings import Settings, merge_env
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import InUse, NotRunning, UsageError
from lamina.execution.executing import Kept, execute
from lamina.execution.running import Running
from lamina.execution.spawned import Stdio
from lamina.runtime.process import Process, refuse_nul


class Order(NamedTuple):
    """What is to be executed; None leaves the container's own.

    `environment` as in `Wishes`. A `privileged` one has every right that we have.
    """

    args: tuple[str, ...]
    environment: tuple[str, ...] = ()
    working_dir: str | None = None
    user: str | None = None
    tty: bool = False
    privileged: bool = False
    detach: bool = False


@contextmanager
def executed(
    store: ContainerStore, stored: StoredContainer, order: Order, stdio: Stdio
) -> Iterator[Running]:
    """Start the command and give it; it is waited for when the block ends.

    Raises `NotRunning`, `InUse` while it is paused, or as `lamina.execution.executing.execute`.
    """
    if not order.args:
        raise UsageError("no command specified", hint="name one after the container")
    process = _process(stored.settings, order)
    root = _root(store, stored)
    named = os.urandom(32).hex()
    try:
        _tell_start(store, stored, order, named)
        kept = Kept(
            stored.row.id, stored.row.pid or 0, stored.row.start_time or 0, store.run_root, root
        )
        running = execute(kept, process, stdio, detach=order.detach)
    finally:
        os.close(root)
    try:
        yield running
    finally:
        code = running.wait().code
        if not order.detach:  # of that, nobody here sees the end
            store.announce(stored.row, "exec_die", execID=named, exitCode=str(code))


def _tell_start(store: ContainerStore, stored: StoredContainer, order: Order, named: str) -> None:
    command = f"{order.args[0]} {' '.join(order.args[1:])}"  # so docker does, also without more
    actions = (f"exec_create: {command}", f"exec_start: {command}")
    store.announce(stored.row, *actions, execID=named)


def _root(store: ContainerStore, stored: StoredContainer) -> int:
    if stored.status == "paused":
        raise InUse(
            f"the container {stored.row.name} is paused", hint="let it go on: `lamina unpause`"
        )
    root = store.open_running(stored) if stored.status == "running" else None
    if root is None:
        raise NotRunning(f"the container {stored.row.name} is not running", hint="start it first")
    return root


def _process(settings: Settings, order: Order) -> Process:
    refuse_nul(order)
    plain = settings.process()
    user = plain.user if order.user is None else order.user
    cwd = order.working_dir or plain.cwd
    if not cwd.startswith("/"):
        raise UsageError(
            f"the working directory {cwd!r} is not absolute", hint="begin it with a slash"
        )
    confinement = plain.confinement
    if order.privileged:  # what was dropped is the container's own matter
        confinement = confinement._replace(cap_add=(), cap_drop=())
    return plain._replace(
        confinement=confinement,
        args=order.args,
        env=merge_env(settings.env, order.environment),
        cwd=cwd,
        user=user,
        tty=order.tty,
        privileged=plain.privileged or order.privileged,
    )
