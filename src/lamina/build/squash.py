"""--squash: the layers that a build adds, as one; the base stays shared and the steps cached.

The one layer is told by the layers' indexes, as for `lamina squash`, so what a step made and a
later one removed is in no layer, and no tree is compared.
"""

from contextlib import closing

from lamina.analyze.indexed import merged_tree
from lamina.analyze.squash import changes, with_holes
from lamina.archive.diff import changed_entries
from lamina.build.api import Cache, Held, Layers
from lamina.build.cachekey import Inputs
from lamina.build.record import Record
from lamina.build.state import Line, State
from lamina.layers.layer import Layer
from lamina.layers.source import EntrySource
from lamina.values.digest import ChainID, chain_ids


def squashed(state: State, layers: Layers, cache: Cache, *, now: float, epoch: int | None) -> State:
    """The same image with at most one layer over its base; raises a `StorageError`."""
    made = sum(1 for line in state.lines if not line.empty)
    if made < 2:
        return state
    kept = state.diff_ids[: len(state.diff_ids) - made]
    base = chain_ids(kept)[-1] if kept else None
    assert state.chain is not None
    record = _record(base, state.chain, layers, cache, now=now, epoch=epoch)
    lines = tuple(line._replace(empty=True) for line in state.lines)
    same = state._replace(diff_ids=kept, lines=lines, chain=base)
    layer = _held(record, base, layers)
    if layer is None:
        return same
    note = Line(f"squash of {made} layers", record.created, False)
    return same._replace(
        diff_ids=(*kept, layer.diff_id), lines=(*lines, note), chain=record.chain_id
    )


def _record(
    base: ChainID | None,
    top: ChainID,
    layers: Layers,
    cache: Cache,
    *,
    now: float,
    epoch: int | None,
) -> Record:
    """What the two chains' difference is, remembered from another time if its layer is here."""
    inputs = Inputs({"op": "squash", "parent": base or "scratch", "top": top, "epoch": epoch})
    known = cache.find(inputs.key)
    if known is not None and (known.chain_id == base or _held(known, base, layers)):
        return known
    layer = _difference(base, top, layers, epoch)
    record = Record(layer.chain_id if layer is not None else base, inputs.to_json(), now)
    cache.record(inputs.key, record)
    return record


def _held(record: Record, base: ChainID | None, layers: Layers) -> Held | None:
    """The one layer over the base that a record tells of, if it is to be had."""
    chain = record.chain_id
    found = layers.held(chain) if chain is not None and chain != base else None
    is_one = found is not None and ChainID.extend(base, found.diff_id) == chain
    return found if is_one else None


def _difference(
    base: ChainID | None, top: ChainID, layers: Layers, epoch: int | None
) -> Layer | None:
    chain = layers.chain(top)
    tree = merged_tree(layers, chain)
    found = changes(tree, len(layers.chain(base)))
    if not found:
        return None
    with closing(layers.view(top)) as view:
        entries = with_holes(changed_entries(found, view, clamp=epoch), tree)
        return layers.register_entries(base, EntrySource(entries))
