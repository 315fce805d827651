"""Starting containers that live without the command that started them.

A monitor (lamina.execution.detached) keeps each of them, and holds its lock, so that nobody else
starts, mounts or removes it meanwhile.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.containers import health
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import RuntimeFailure, from_oserror
from lamina.fs.faults import crash_point
from lamina.metadata import exits, journal
from lamina.metadata.lease import Lease
from lamina.values.ids import ContainerID

if TYPE_CHECKING:  # what starts processes is loaded when one is started
    from lamina.execution.detached import Checking, Keeping, Launch
    from lamina.execution.spawned import Stdio

_MOMENT = 0.2  # seconds for a command that is about to be done with a container


def start(
    store: ContainerStore,
    container: ContainerID,
    *,
    finish: tuple[str, ...] = (),
    stdio: "Stdio | None" = None,
    before: Callable[[str], None] | None = None,
) -> None:
    """Start the container under a monitor of its own; returns when its command runs.

    `before` is called with the path of the socket for those who attach, before anything of the
    container runs. `finish` is what a monitor executes at the end of a container that is to be
    removed then. `stdio` tells the size of a terminal. Raises as `ContainerStore.started`.
    """
    from lamina.execution.spawned import QUIET

    with store.locked(container, _MOMENT) as (stored, lock):
        lease = _lease(store) if stored.settings.auto_remove else None
        locks = (lock.descriptor, *(() if lease is None else (lease.descriptor,)))
        try:
            keeping = _keeping(store, stored, locks, finish if lease is not None else ())
            try:
                launched = _launch(store, stored, keeping, stdio or QUIET)
                _go(store, stored, launched, lease, before)
            except RuntimeFailure as error:
                store.note_exit(container, error.exit_code, str(error))
                raise
        except BaseException:
            if lease is not None:
                lease.release()
            raise
        if lease is not None:
            lease.hand_over()


def _lease(store: ContainerStore) -> Lease:
    """The monitor's own claim: when it is dead, whoever opens the store removes the container."""
    return Lease.take(store.layers.root.folder("locks", "leases"))


def _keeping(
    store: ContainerStore, stored: StoredContainer, locks: tuple[int, ...], finish: tuple[str, ...]
) -> "Keeping":
    from lamina.execution.detached import Keeping

    lasting = stored.settings.lasting
    folder = store.folder(stored.row.id)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        crash_point("folder-made")
        if journal.is_there(folder):
            store.settle(stored.row.id)  # what it tells of an earlier run
        journal.forget(folder)
        record = exits.set_aside(folder)
        checking = _checking(store, stored, folder)
        tells = checking is not None or lasting.restarts
    except OSError as error:
        raise from_oserror(error, "making the folder of a container", folder) from error
    return Keeping(
        record=record,
        log=store.log_path(stored.row.id) if lasting.log_files else "",
        log_size=lasting.log_size,
        log_files=lasting.log_files,
        stdin_open=stored.settings.stdin_open,
        locks=locks,
        finish=finish,
        journal=journal.begin(folder) if tells else journal.place(folder),
        restart=lasting.restart_words,
        checking=checking,
    )


def _checking(store: ContainerStore, stored: StoredContainer, folder: str) -> "Checking | None":
    """What looks after its health; before it starts that is unknown."""
    health.forget(folder)
    wish = stored.settings.health
    if not wish.is_on:
        return None
    from lamina.execution.detached import Checking

    shell = store.images.config(stored.row.image_id).config.shell or ()
    return Checking(
        wish.command(shell), wish.filled().in_seconds, os.path.join(folder, health.FILE)
    )


def _launch(
    store: ContainerStore, stored: StoredContainer, keeping: "Keeping", stdio: "Stdio"
) -> "Launch":
    from lamina.execution.detached import launch

    return launch(store.job(stored), store.isolation, keeping, stdio)


def _go(
    store: ContainerStore,
    stored: StoredContainer,
    launched: "Launch",
    lease: Lease | None,
    before: Callable[[str], None] | None,
) -> None:
    try:
        started = store.note_start(
            stored.row, launched.pid, launched.start_time, lease.id if lease is not None else None
        )
        if before is not None:
            before(launched.attach_path)
    except BaseException:
        launched.give_up()
        raise
    launched.go()
    store.announce(stored.row, "start", at=started)
