"""Every driver gives the tree that the layers mean, and the same change gives the same bytes.

What is drawn at random is layers, and what a container then does to their tree; the model is one
flat directory, the diff of any other driver the judge of a driver's own.
"""

import hashlib
import io
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager

import pytest
from container_acts import PATHS, acts, perform, rehearsed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.archive.apply import FLAT, apply
from lamina.archive.diff import changed_entries
from lamina.archive.entry import FILE
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.drivers.catalog import entry
from lamina.errors import BadArchive
from lamina.fs.copy import copy_tree
from lamina.testing.driver_bench import Bench
from lamina.testing.trees import describe, tar_of

EXAMPLES = {"zfs": 6}  # each layer is several commands there


def slow(driver):
    wanted = int(os.environ.get("LAMINA_EXAMPLES", EXAMPLES.get(driver, 20)))
    return settings(
        max_examples=wanted,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# What a driver's own tools cannot keep: what fuse-overlayfs copied up and is no regular file has
# the time of the copying, so that a second name for it changes the first; a link takes no
# attributes; a lower FIFO or device takes no other metadata (an input/output error), and moved it is
# an empty file.
LIMITS = {"fuse-overlayfs": {"copied times", "plain"}}
EPOCH = 1_600_000_000  # between the layers' times and now

paths = st.sampled_from(PATHS)
members = st.one_of(
    st.builds(
        lambda path, text: f"f {path} {text!r}", paths, st.sampled_from(["", "1", "22", "333"])
    ),
    st.builds(lambda path, mode: f"d {path} {mode}", paths, st.sampled_from(["755", "700 3:4"])),
    st.builds(lambda path, to: f"l {path} -> {to}", paths, st.sampled_from(["a", "/b", "../c"])),
    st.builds(lambda path, to: f"h {path} -> {to}", paths, paths),
    st.builds(lambda path: f"c {path} 1:3 660", paths),
    st.builds(lambda path: f"p {path} 600", paths),
    st.builds(lambda path: f"w {path}", paths),
    st.builds(lambda path: f"o {path}", st.sampled_from(["a", "b", "b/y", "."])),
)
layers = st.lists(st.lists(members, max_size=7).map("\n".join), min_size=1, max_size=3)


@pytest.fixture
def make(site):
    """A function that gives a bench for a driver."""
    made = []

    def bench(driver):
        folder, found = site(driver), entry(driver)
        home = f"{folder}/{found.home}"
        made.append(Bench(found.make(home, f"{folder}/run"), f"{folder}/scratch"))
        return made[-1]

    yield bench
    for each in made:
        each.close()


def _built(bench, wanted):
    """The layers as far as all of them are good, and what each of them came to."""
    top, outcomes = None, []
    for text in wanted:
        try:
            top = bench.layer(text, top)
            outcomes.append("applied")
        except BadArchive:
            outcomes.append("refused")
    return top, outcomes


class Flat:
    """The model: the same layers applied onto one directory, that of the last good one.

    `is_exact` is False where a layer linked to a file below that had several names already:
    a union copies it up, away from its other names.
    """

    def __init__(self, folder, wanted):
        self.root, self.is_exact = f"{folder}/flat", True
        os.mkdir(self.root)
        for text in wanted:
            self._apply(text)

    def _apply(self, text):
        before = describe(self.root)
        fresh = f"{self.root}.{secrets.token_hex(4)}"
        os.mkdir(fresh)
        self._copy(fresh)
        with _opened(fresh) as descriptor:
            try:
                apply(descriptor, read(io.BytesIO(tar_of(text))), form=FLAT)
            except BadArchive:
                return
        if any(line.startswith("h ") for line in before) and "h " in text:
            self.is_exact = False
        shutil.rmtree(self.root)
        os.rename(fresh, self.root)

    def _copy(self, target):
        with _opened(self.root) as source, _opened(target) as into:
            copy_tree(source, into)

    def tree(self):
        return describe(self.root)


@contextmanager
def _opened(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _flat(wanted):
    with tempfile.TemporaryDirectory() as folder:
        yield Flat(folder, wanted)


def _apart(tree):
    """The tree with every further name of a file as a file of its own."""
    first = {line.split()[1]: line for line in tree if not line.startswith("h ")}
    shown = []
    for line in tree:
        kind, name, *rest = line.split(maxsplit=2)
        if kind == "h":
            origin = first[rest[0].removeprefix("-> ")].split(maxsplit=2)
            line = " ".join([origin[0], name, *origin[2:]])
        shown.append(line)
    return shown


def _tar(bench, layer, parent, limits=()):
    """The tar of what changed, as `commit` would write it."""
    view = bench.driver.view(layer)
    try:
        out = io.BytesIO()
        entries = changed_entries(bench.driver.changes(layer, parent), view, clamp=EPOCH)
        write(((_blurred(entry, limits), opener) for entry, opener in entries), out.write)
        return out.getvalue()
    finally:
        view.close()


def _blurred(entry, limits):
    if "copied times" in limits and entry.kind != FILE:
        return entry._replace(mtime_ns=0)
    return entry


def _acted(bench, layer, agreed):
    def work(root):
        for act in agreed:
            perform(root, act)

    bench.inside(layer, work, writable=True)


def test_the_tree_is_that_of_layers_applied_onto_one_root(make, driver):
    bench = make(driver)

    @slow(driver)
    @given(layers)
    def compare(wanted):
        with _flat(wanted) as flat:
            top, _ = _built(bench, wanted)
            tree = bench.tree(top) if top is not None else []
            assert _apart(tree) == _apart(flat.tree())
            assert not flat.is_exact or tree == flat.tree()

    compare()


def test_the_same_change_gives_the_same_bytes_as_on_overlay2(make, other_driver):
    benches = [make(name) for name in ("overlay2", other_driver)]
    limits = LIMITS.get(other_driver, ())

    @slow(other_driver)
    @given(layers, acts)
    def compare(wanted, chosen):
        with _flat(wanted) as flat:
            agreed = rehearsed(flat.root, chosen, plain="plain" in limits)
        found = []
        for bench in benches:
            top, outcomes = _built(bench, wanted)
            layer = bench.writable(top)
            _acted(bench, layer, agreed)
            digest = hashlib.sha256(_tar(bench, layer, top, limits)).hexdigest()
            found.append((outcomes, bench.changes(layer, top), digest))
        assert found[0] == found[1]

    compare()


def test_what_a_change_is_committed_as_brings_its_tree_back(make, driver):
    """On the driver itself, and as the flat model has it."""
    bench = make(driver)

    @slow(driver)
    @given(layers, acts)
    def compare(wanted, chosen):
        top, _ = _built(bench, wanted)
        layer = bench.writable(top)
        with _flat(wanted) as flat:
            _acted(
                bench, layer, rehearsed(flat.root, chosen, plain="plain" in LIMITS.get(driver, ()))
            )
            meant = [line for line in _apart(flat.tree()) if not line.startswith("s ")]
        committed = bench.layer_of_tar(_tar(bench, layer, top), top)
        assert _apart(bench.tree(committed)) == meant

    compare()


def _write_through_one_name(root):
    with open(f"{root}/a", "w") as file:
        file.write("new")


# index=off: overlayfs copies the one name up, away from the other; so does fuse-overlayfs
SPLITS = {"overlay2", "fuse-overlayfs", "erofs"}


def test_writing_through_one_name_of_a_lower_file_is_the_one_exception(make, driver):
    bench = make(driver)
    base = bench.layer("f a old\nh b -> a")
    layer = bench.writable(base)
    bench.inside(layer, _write_through_one_name, writable=True)
    if driver in SPLITS:
        assert bench.changes(layer, base) == ["C /a"]
        assert bench.tree(layer) == ["f a new 644 0:0", "f b old 644 0:0"]
    else:
        assert bench.changes(layer, base) == ["C /a", "C /b"]
        assert bench.tree(layer) == ["f a new 644 0:0", "h b -> a"]
