"""The merged tree of layers of a store, by their indexes."""

from collections.abc import Sequence
from typing import Protocol

from lamina.analyze.merged import MergedTree
from lamina.archive.index import IndexReader
from lamina.errors import BadArchive, StoreDamaged
from lamina.layers.layer import Layer


class Indexes(Protocol):
    """What has the index of each layer."""

    def index(self, layer: Layer) -> IndexReader:
        """What is known of each member of a layer's tar; the caller closes it."""


def merged_tree(store: Indexes, layers: Sequence[Layer]) -> MergedTree:
    """The merged tree of a chain, lowest layer first; raises `StoreDamaged`."""
    tree = MergedTree()
    try:
        for layer in layers:
            with store.index(layer) as index:
                tree.add_layer(index.records())
    except BadArchive as error:  # they were laid over one another once
        raise StoreDamaged(f"of the layer indexes {error}", hint="run `lamina check`") from error
    return tree
