"""`update`: other limits for a container, from now on where it runs."""

from lamina.containers.settings import Settings
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.metadata import containers
from lamina.runtime.limits import Limits


def update(store: ContainerStore, stored: StoredContainer, limits: Limits) -> None:
    """Hold it to these limits; raises `RuntimeFailure` for what cannot be done while it runs."""
    if stored.is_up:
        from lamina.execution.relimiting import relimit

        relimit(stored.row.id, stored.settings.limits, limits)
    with store.layers.root.database.write() as db:
        row = containers.get(db, stored.row.id)
        if row is not None:
            settings = Settings.from_json(row.settings)._replace(limits=limits)
            containers.set_settings(db, row, settings.to_json())
