"""What the layer indexes of an image tell: its merged tree, its waste. Nothing is unpacked."""

from collections.abc import Collection

from lamina.analyze.instruction import located, steps
from lamina.analyze.losses import account
from lamina.analyze.merged import MergedTree
from lamina.analyze.portrait import Portrait
from lamina.analyze.treemap import areas
from lamina.analyze.waste import LayerFacts, Waste, judged, waste
from lamina.dockerfile import Dockerfile
from lamina.engine.parts import Parts
from lamina.layers.layer import Layer
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, ImageID, chain_ids
from lamina.values.ids import LayerID


def waste_of(
    config: ImageConfig,
    tree: MergedTree,
    shared: Collection[ChainID],
    dockerfile: Dockerfile | None,
) -> Waste:
    """The waste of an image; with the Dockerfile it was built from, its steps have lines."""
    return waste(tree, _facts(config, shared, dockerfile))


def portrait_of(
    name: str, config: ImageConfig, tree: MergedTree, shared: Collection[ChainID], most: int
) -> Portrait:
    """An image by its bytes, in about `most` areas."""
    ledger = account(tree)
    found = judged(ledger, _facts(config, shared, None))
    return Portrait(name, tuple(chain_ids(config.diff_ids)), found, areas(tree, ledger, most))


def _facts(
    config: ImageConfig, shared: Collection[ChainID], dockerfile: Dockerfile | None
) -> list[LayerFacts]:
    made = steps(config.history, len(config.diff_ids))
    if dockerfile is not None:
        made = located(made, dockerfile)
    chains = chain_ids(config.diff_ids)
    return [
        LayerFacts(diff_id, step, chain in shared)
        for diff_id, step, chain in zip(config.diff_ids, made, chains, strict=True)
    ]


def chains_of_others(parts: Parts, image: ImageID) -> frozenset[ChainID]:
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
    return frozenset(found)
