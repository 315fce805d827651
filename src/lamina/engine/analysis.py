"""What the layer indexes of an image tell: its merged tree, its waste. Nothing is unpacked."""

from collections.abc import Sequence

from lamina.analyze.instruction import located, steps
from lamina.analyze.merged import MergedTree
from lamina.analyze.waste import LayerFacts, Waste, waste
from lamina.dockerfile import Dockerfile
from lamina.engine.parts import Parts
from lamina.layers.layer import Layer
from lamina.layers.store import LayerStore
from lamina.values.digest import ChainID, ImageID
from lamina.values.ids import LayerID


def merged_tree(store: LayerStore, layers: Sequence[Layer]) -> MergedTree:
    """The merged tree of a chain, lowest layer first; raises `StoreDamaged`."""
    tree = MergedTree()
    for layer in layers:
        with store.index(layer) as index:
            tree.add_layer(index.records())
    return tree


def waste_of(
    parts: Parts,
    image: ImageID,
    layers: Sequence[Layer],
    tree: MergedTree,
    dockerfile: Dockerfile | None,
) -> Waste:
    """The waste of an image; with the Dockerfile it was built from, its steps have lines."""
    config = parts.image_store.config(image)
    made = steps(config.history, len(layers))
    if dockerfile is not None:
        made = located(made, dockerfile)
    shared = _shared(parts, image)
    facts = [
        LayerFacts(layer.diff_id, step, layer.chain_id in shared)
        for layer, step in zip(layers, made, strict=True)
    ]
    return waste(tree, facts)


def _shared(parts: Parts, image: ImageID) -> set[ChainID]:
    """The chains that another image has."""
    known: dict[LayerID, Layer] = {layer.id: layer for layer in parts.layers.all()}
    tops = {layer.chain_id: layer.id for layer in known.values()}
    found: set[ChainID] = set()
    for named in parts.image_store.all():
        top = named.row.top_chain
        at = tops.get(top) if top is not None and named.row.id != image else None
        while at is not None and known[at].chain_id not in found:
            found.add(known[at].chain_id)
            at = known[at].parent
    return found
