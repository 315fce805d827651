"""`update`: other limits and another restart policy, from now on where it runs."""

from contextlib import suppress

from lamina.containers.lasting import Lasting
from lamina.containers.settings import Settings
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import UsageError
from lamina.fs.atomic import write_file
from lamina.metadata import containers, events, journal
from lamina.runtime.limits import Limits


def update(
    store: ContainerStore, stored: StoredContainer, limits: Limits, lasting: Lasting
) -> None:
    """Hold it to these limits, and start it again as its policy says by then.

    Raises `RuntimeFailure` for what cannot be done while it runs, or `UsageError`.
    """
    if lasting.restarts and stored.settings.auto_remove:
        raise UsageError(
            f"the container {stored.row.name} is removed at its end, and not started again then"
        )
    if stored.is_up and limits != stored.settings.limits:
        from lamina.execution.relimiting import relimit

        relimit(stored.row.id, stored.settings.limits, limits)
    if stored.is_up and lasting != stored.settings.lasting:
        # before the row: a stop looks for both, what it was told and what the row says
        _tell_monitor(store, stored, lasting)
    with store.layers.root.database.write() as db:
        row = containers.get(db, stored.row.id)
        if row is not None:
            settings = Settings.from_json(row.settings)._replace(limits=limits, lasting=lasting)
            containers.set_settings(db, row, settings.to_json())
            events.of_container(db, row, "update")


def _tell_monitor(store: ContainerStore, stored: StoredContainer, lasting: Lasting) -> None:
    """It looks there before each start; what it tells of those is to be heard by who follows."""
    folder = store.folder(stored.row.id)
    with suppress(FileNotFoundError):  # it has ended, or runs in the foreground of a command
        if not journal.is_there(folder):
            journal.begin(folder)
        data = lasting.restart_words.encode()
        write_file(store.policy_mark(stored.row.id), data, mode=0o600)
