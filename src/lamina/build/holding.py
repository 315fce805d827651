"""A store of layers that holds what was found once something is to be made or read.

To look up a step that is known takes a look at a row; to hold its layer takes a transaction that
writes, and a build of known steps needs none: its image holds its layers. So what is found is only
noted, until the first that needs a layer has all of them held, in one transaction; from then on
each is held when it is found. One that has gone before that is told by `NotBrought`: the build
begins again, holding from the beginning.
"""

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from lamina.build.api import Held, StoredLayers
from lamina.build.stop import NotBrought
from lamina.values.digest import ChainID
from lamina.values.ids import LayerID

if TYPE_CHECKING:
    from lamina.archive.index import IndexReader
    from lamina.fs.tree import TreeView
    from lamina.layers.kinds import Source
    from lamina.layers.layer import Layer
    from lamina.layers.versions import Version


class HeldAtNeed:
    """The layers of one store; for any thread."""

    def __init__(self, own: StoredLayers) -> None:
        self._own = own
        self._noted: set[ChainID] | None = set()  # None: what is found is held
        self._lock = threading.Lock()

    def held(self, chain_id: ChainID) -> Held | None:
        """The layer on top of a chain, if it is here; it stays as soon as anything is needed."""
        with self._lock:
            if self._noted is not None:
                found = self._own.get(chain_id)
                if found is not None:
                    self._noted.add(chain_id)
                return found
        return self._own.held(chain_id)

    def need(self) -> None:
        """Hold what was found and what will be; raises `NotBrought` when something has gone."""
        with self._lock:
            if self._noted is None:
                return
            if self._noted and not self._own.hold(*self._noted):
                raise NotBrought("a layer that was known has been removed just now")
            self._noted = None

    def version(
        self, parent: ChainID | None, before: ChainID
    ) -> "AbstractContextManager[Version | None]":
        """What a new layer is beside an earlier one of it."""
        self.need()
        return self._own.version(parent, before)

    def register_entries(
        self, parent: ChainID | None, source: "Source", version: "Version | None" = None
    ) -> "Layer":
        """Make a layer over `parent`."""
        self.need()
        return self._own.register_entries(parent, source, version)

    def create_rw(self, parent: ChainID | None) -> LayerID:
        """Make a read-write layer."""
        self.need()
        return self._own.create_rw(parent)

    def snapshot_rw(self, layer: LayerID, *, clamp: int | None = None) -> "Layer | None":
        """What a read-write layer changed."""
        return self._own.snapshot_rw(layer, clamp=clamp)

    def remove_rw(self, layer: LayerID) -> None:
        """Remove a read-write layer."""
        self._own.remove_rw(layer)

    def resolve(self, target: ChainID, /) -> LayerID:
        """The layer on top of a chain."""
        self.need()
        return self._own.resolve(target)

    def chain(self, chain_id: ChainID | None) -> "tuple[Layer, ...]":
        """Every layer of a chain."""
        self.need()
        return self._own.chain(chain_id)

    def index(self, layer: "Layer") -> "IndexReader":
        """What is known of a layer's members."""
        return self._own.index(layer)

    def view(self, target: ChainID) -> "TreeView":
        """The merged tree of a chain."""
        self.need()
        return self._own.view(target)

    def barrier(self) -> None:
        """Make all that is visible survive a power cut."""
        self._own.barrier()

    @property
    def is_durable(self) -> bool:
        """Whether nothing waits for a barrier."""
        return self._own.is_durable
