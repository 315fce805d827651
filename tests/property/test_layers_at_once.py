"""All layers of an image extracted at once give what they give one after the other.

The lowest layer's bytes come last: every other one is read to its end before, and has to wait
for what lies below by itself.
"""

import hashlib
import io
import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_driver_trees import layers

from lamina.drivers.catalog import entry
from lamina.errors import LaminaError
from lamina.fs.mounting import attach, in_private_namespace
from lamina.layers import chains
from lamina.layers.check import check
from lamina.layers.kinds import Coming
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.testing.facts import facts
from lamina.testing.trees import tar_of
from lamina.values.digest import DiffID, chain_ids

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
PATIENCE = 60.0
AT_ONCE = 3  # so many are under way together


class Gate:
    """Opens the streams of several layers so that the first gives nothing before the others end."""

    def __init__(self, tars):
        self.tars = tars
        self.together = threading.Barrier(min(AT_ONCE, len(tars)))
        self.ended = [threading.Event() for _ in tars]
        self.met = 0

    @contextmanager
    def open(self, number):
        if number < AT_ONCE:
            self.together.wait(PATIENCE)  # broken where they are not opened at once
            self.met += 1
        yield _Stream(self, number)

    def wait(self):
        for event in self.ended[1:AT_ONCE]:
            assert event.wait(PATIENCE)


class _Stream:
    def __init__(self, gate, number):
        self.gate, self.number = gate, number
        self.data = io.BytesIO(gate.tars[number])

    def read(self, size, /):
        if not self.number:
            self.gate.wait()
        data = self.data.read(size)
        if not data:
            self.gate.ended[self.number].set()
        return data


class Store:
    """A layer store of its own, with what is laid into it."""

    def __init__(self, folder, driver):
        found = entry(driver)
        self.root = StoreRoot.open(folder)
        self.layers = LayerStore(
            self.root, lambda: found.make(self.root.folder(found.home), folder + ".run")
        )
        self.folder = folder

    def close(self):
        self.layers.close()
        self.root.close()
        shutil.rmtree(self.folder)

    def outcome(self, chains):
        """Each layer's own figures and bytes, and the tree of the topmost as a process sees it."""
        figures = []
        for chain in chains:
            sink = io.BytesIO()
            self.layers.export(chain, sink.write)
            layer = self.layers.get(chain)
            figures.append((layer.size, layer.entries, sink.getvalue()))
        return figures, self.tree(chains[-1])

    def tree(self, chain):
        target = os.path.join(self.folder, "mounted")
        os.makedirs(target, exist_ok=True)
        plan = self.layers.mounts(self.layers.get(chain).id, writable=False)

        def mounted():
            attach(plan, target)
            return facts(target)

        return in_private_namespace(mounted)

    def left_over(self):
        return [each for each in ("staging", "trash") if os.listdir(self.root.folder(each))]


def diff_id(tar):
    return DiffID("sha256:" + hashlib.sha256(tar).hexdigest())


def in_turn(store, tars):
    top, refused = None, None
    for number, tar in enumerate(tars):
        try:
            top = store.layers.register(top, io.BytesIO(tar), expect=diff_id(tar)).chain_id
        except LaminaError:
            return number
    return refused


def at_once(store, tars, told):
    gate = Gate(tars)
    coming = [
        Coming(diff_id(tar), lambda number=number: gate.open(number))
        for number, tar in enumerate(tars)
    ]
    try:
        chains.register(store.layers, None, coming, told.append)
    finally:
        assert gate.met == min(AT_ONCE, len(tars))


def slow(count):
    return settings(
        max_examples=int(os.environ.get("LAMINA_EXAMPLES", count)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(params=["overlay2", "erofs", "fuse-overlayfs"])
def pair(request, site):
    """A function that gives two empty stores on one driver."""
    folder = site(request.param)

    @contextmanager
    def make():
        stores = [Store(f"{folder}/{name}", request.param) for name in ("turn", "once")]
        try:
            yield stores
        finally:
            for store in stores:
                store.close()

    return make


def test_at_once_is_one_after_the_other(pair):
    @slow(20)
    @given(st.lists(layers, min_size=2, max_size=2).map(lambda two: two[0] + two[1]))
    @example(["l a -> b\nd b 700 3:4", "f a/x 1", "h a/y -> b/x\nw b/x"])
    @example(["d . 711 5:6\nf a/x 1", "w a\nf a/y 2", "o .\nf c 1"])
    @example(["f a/x 1\nd a 700 3:4", "f a/y 1", "w a/x", "h a/z -> a/y"])
    def proof(texts):
        # a root that no member names has the time of its making
        tars = [tar_of(text) for text in ("d . 755\n" + texts[0], *texts[1:])]
        with pair() as (turn, once):
            told = []
            refused = in_turn(turn, tars)
            if refused is not None:
                with pytest.raises(LaminaError):
                    at_once(once, tars, told)
                assert len(told) <= refused
                assert once.left_over() == []
                assert check(once.root, once.layers.driver, full=True) == []
                return
            at_once(once, tars, told)
            chains = chain_ids([diff_id(tar) for tar in tars])
            assert told == list(range(len(tars)))
            assert once.outcome(chains) == turn.outcome(chains)
            assert once.left_over() == []

    proof()
