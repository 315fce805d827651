"""A slimmed image has the tree of the image it was made of, and nothing in it is hidden."""

import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lamina.analyze.compare import files
from lamina.analyze.losses import account
from lamina.analyze.merged import MergedTree
from lamina.engine.image import Image
from lamina.engine.slimming import slimmed
from tests.property.test_squash import on_a_store, several, shown

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
EXAMPLES = int(os.environ.get("LAMINA_EXAMPLES", "30"))


@pytest.mark.parametrize("driver", ["vfs", "overlay2", "erofs"])
def test_the_tree_stays_and_nothing_is_hidden(driver):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @example(["f a 1\nf b 1", "w a"], 0)
    @example(["f a 1", "f b 1", "w b\nf c 2", "f c 3"], 1)
    @example(["f d/x 1\nf d/y 1", "f d/y 2", "w d\nf d/z 1"], 1)
    @example(["f d/x 1", "f d 1", "w d\nf d/x 22"], 1)
    @example(["f d/x 1", "f d 11", "w d\nl d -> e", "w d\nf d/y 22"], 1)
    @example(["f a 1\nf b 1", "h c -> a\nw a", "h d -> c\nf b 2"], 0)
    @example(["f a 1", "h c -> a\nf x 1", "h d -> c\nf x 2"], 1)
    @example(["d d 700\nf d/x 1", "d d 755\nl l -> d", "f l/y 1\no d"], 0)
    @example(["f x 1", "d d 700", "f d/x 1\nf x 2", "d d 755"], 0)
    @example(["f d 1", "w d\nf d/x 1\nf z 1", "d d 755\nf z 22"], 1)
    @given(several, st.sampled_from([0, 1]))
    def compare(wanted, first):
        on_a_store(driver, wanted, first, assert_slim)

    compare()


def tree_of(store, chain):
    tree = MergedTree()
    for layer in store.layers.chain(chain):
        with store.layers.index(layer) as index:
            tree.add_layer(index.records())
    return tree


def assert_slim(store, kept, first):
    parts = SimpleNamespace(layers=store.layers, image_store=store.images)
    image = Image(parts, store.images.row(store.make(*kept)))
    made = slimmed(parts, image, first, ())
    config = store.images.config(made.image)
    assert slimmed(parts, image, first, ()) == made
    top = image.layers[-1].chain_id
    before, after = tree_of(store, top), tree_of(store, config.top_chain)
    assert not files(before, after)
    ledger = account(after)
    assert not [loss for loss in ledger.losses if loss.layer >= max(first, 0)]
    assert config.diff_ids[: made.kept] == image.config.diff_ids[: made.kept]
    assert sum(ledger.stored) == made.after <= made.before
    assert sum(ledger.visible) == sum(account(before).visible)
    (root, seen), (now, found) = shown(store, top), shown(store, config.top_chain)
    seen, found = ({path: fact[:3] for path, fact in each.items()} for each in (seen, found))
    assert (now, found) == (root, seen)
