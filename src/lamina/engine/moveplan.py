"""What a move to another driver would copy, whose it is, and whether the disk has room for it.

Only looks. What is done is `engine.moving`'s matter.
"""

import os
from typing import NamedTuple

from lamina.drivers.catalog import Entry
from lamina.engine.parts import Parts
from lamina.metadata import copies
from lamina.values.reference import Reference


class Planned(NamedTuple):
    """One layer or container that is to move: `kind` is one of these, `size` what the new driver
    will hold of it in apparent bytes, `owners` whose it is.
    """

    kind: str
    id: str
    owners: tuple[str, ...]
    size: int
    copied: bool
    running: bool

    @property
    def reason(self) -> str:
        """What is to be done, in a few words."""
        if self.running:
            return "must end before the switch"
        return "copied already" if self.copied else "to be copied"


class Plan(NamedTuple):
    """All that is to move, and how much room the disk has left."""

    source: str
    target: str
    items: tuple[Planned, ...]
    free: int

    @property
    def size(self) -> int:
        """The bytes that are still to be copied."""
        return sum(item.size for item in self.items if not item.copied)


def planned(engine: Parts, target: Entry) -> Plan:
    """All that a move to the driver `target` would copy; nothing, when it is in use already."""
    layers = engine.layers
    items: tuple[Planned, ...] = ()
    if target.name != layers.driver.name:
        copied = _copied(engine)
        items = (*_layers(engine, target, copied), *_containers(engine, copied))
    status = os.statvfs(layers.root.path)
    return Plan(layers.driver.name, target.name, items, status.f_bavail * status.f_frsize)


def _copied(engine: Parts) -> set[str]:
    root = engine.layers.root
    if copies.current(root.database.meta()) is None:
        return set()
    with root.database.read() as db:
        return {copy.layer for copy in copies.all_rows(db) if copy.state == "ready"}


def _layers(engine: Parts, target: Entry, copied: set[str]) -> list[Planned]:
    found = []
    sizes: dict[str | None, int] = {None: 0}
    owners = _owners(engine)
    for layer in engine.layers.all():
        below = sizes[layer.parent] if target.copies_parents else 0
        if target.keeps_tars:
            sizes[layer.id] = engine.layers.tar_size(layer.chain_id)
        else:
            sizes[layer.id] = layer.size + below
        names = tuple(owners.get(layer.id, ()))
        done = layer.id in copied
        found.append(Planned("layer", layer.id.short, names, sizes[layer.id], done, False))
    return found


def _containers(engine: Parts, copied: set[str]) -> list[Planned]:
    return [
        Planned(
            "container",
            stored.row.id.short,
            (stored.row.name,),
            engine.layers.usage(stored.row.layer_id).size,
            stored.row.layer_id in copied,
            stored.is_up,
        )
        for stored in engine.container_store.all()
    ]


def _owners(engine: Parts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for named in engine.image_store.all():
        config = engine.image_store.config(named.row.id)
        for layer in engine.layers.chain(config.top_chain):
            names = [Reference.parse(name).familiar for name in named.names]
            found.setdefault(layer.id, []).extend(names or [named.row.id.short])
    return found
