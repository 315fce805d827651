"""A squashed image has the tree of the image it was made of, for any layers, from any layer on."""

import io
import os
import tempfile
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lamina.engine.squashing import squashed
from lamina.errors import BadArchive
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from tests.property.test_driver_trees import members
from tests.property.test_merged_tree import build, seen

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
EXAMPLES = int(os.environ.get("LAMINA_EXAMPLES", "30"))
several = st.lists(st.lists(members, min_size=2, max_size=7).map("\n".join), min_size=2, max_size=3)


def good(store, wanted):
    """The layers that can be laid over one another."""
    top, kept = None, []
    for text in wanted:
        try:
            top = store.layers.register(top, io.BytesIO(tar_of(text))).chain_id
        except BadArchive:
            continue
        kept.append(text)
    return kept


def shown(store, chain):
    view = store.layers.view(chain)
    try:
        root = view.lstat(b"")
        return (root.st_mode, root.st_uid, root.st_mtime_ns), seen(view)
    finally:
        view.close()


def on_a_store(driver, wanted, first, check):
    """Check the layers that fit, from the layer `first` on or the last, on a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = ScratchStore(folder, driver)
        try:
            kept = good(store, wanted)
            if kept:
                check(store, kept, min(first, len(kept) - 1))
        finally:
            store.close()


@pytest.mark.parametrize("driver", ["vfs", "overlay2", "erofs"])
def test_the_tree_stays(driver):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @example(["f a 1\nf b 1", "w a"], 1)
    @example(["f d/x 1\nf d/y 1", "w d\nf d/z 1"], 1)
    @example(["f d/x 1", "f d 1", "w d\nf d/x 22"], 1)
    @example(["d d 700\nf d/x 1", "d d 755\nl l -> d", "f l/y 1\no d"], 1)
    @example(["f a 1\nf b 1", "h c -> a\nw a"], 0)
    @example(["f d/a 1", "d d 755"], 1)
    @example(["f a 1", "f a 1 600"], 1)
    @example(["c a/x 1:3 660\nc b/x 1:3 660\nf c ''", "f a 1\nc b/x 1:3 660\nf b/y ''"], 0)
    @given(several, st.sampled_from([1, 2, 0]))
    def compare(wanted, first):
        on_a_store(driver, wanted, first, assert_same)

    compare()


def assert_same(store, kept, first):
    image = store.make(*kept)
    chain = store.layers.chain(store.images.config(image).top_chain)
    _, tree, _ = build(store, kept)
    parts = SimpleNamespace(layers=store.layers, image_store=store.images)
    made = store.images.config(squashed(parts, image, chain, tree, first, ()))
    assert len(made.diff_ids) == first + 1
    assert made.diff_ids[:first] == store.images.config(image).diff_ids[:first]
    root, before = shown(store, chain[-1].chain_id)
    now, after = shown(store, made.top_chain)
    if first:  # a file may then be apart from its names below, as a union has it anyway
        before, after = (
            {path: fact[:3] for path, fact in each.items()} for each in (before, after)
        )
    assert (now, after) == (root, before)
