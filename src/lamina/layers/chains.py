"""Several layers laid one upon the other: at once where the driver can, else in turn."""

from collections.abc import Callable, Sequence
from functools import partial

from lamina.drivers.api import AppliesAhead
from lamina.fs.locks import Rank, together
from lamina.fs.mounting import LOWERS
from lamina.layers.kinds import Coming
from lamina.layers.store import LayerStore
from lamina.values.digest import ChainID, chain_ids


def register(
    store: LayerStore,
    parent: ChainID | None,
    coming: Sequence[Coming],
    published: Callable[[int], None],
) -> None:
    """Lay several tars over `parent`, one upon the other; `published` hears of each, in order.

    All are filled at once where the driver can do that, with one outcome. As `LayerStore.register`
    else.
    """
    chains = chain_ids([each.diff_id for each in coming], parent)
    if _can_run_ahead(store, parent, len(coming)):
        _at_once(store, parent, coming, chains, published)
        return
    for number, each in enumerate(coming):
        with each.open() as stream:
            store.register(parent, stream, expect=each.diff_id)
        parent = chains[number]
        published(number)


def _can_run_ahead(store: LayerStore, parent: ChainID | None, count: int) -> bool:
    if count < 2 or not isinstance(store.driver, AppliesAhead):
        return False
    return len(store.chain(parent)) + count <= LOWERS  # beyond, one is made of what lies below


def _at_once(
    store: LayerStore,
    parent: ChainID | None,
    coming: Sequence[Coming],
    chains: Sequence[ChainID],
    published: Callable[[int], None],
) -> None:
    """Under the locks of all, each let go when its layer is there for others to share."""
    from lamina.layers import ahead

    assert isinstance(store.driver, AppliesAhead)
    paths = [store.lock_for(chain).path for chain in chains]
    done = 0
    with together(paths, Rank.LAYER) as let_go:

        def ready(number: int) -> None:
            if paths[number] not in paths[number + 1 :]:
                let_go(paths[number])
            published(number)

        while done < len(coming):
            if store.hold(chains[done]):
                ready(done)
                done += 1
                continue
            below = store.parent_row(chains[done - 1] if done else parent)
            told = partial(_shifted, ready, done)
            done += ahead.register(store.root, store.driver, below, coming[done:], told)


def _shifted(tell: Callable[[int], None], by: int, number: int) -> None:
    tell(by + number)
