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

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.archive.apply import FLAT, apply
from lamina.archive.diff import changed_entries
from lamina.archive.entry import DIR, SYMLINK
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.drivers.catalog import entry
from lamina.errors import BadArchive
from lamina.testing.driver_suite import Bench
from lamina.testing.trees import describe, tar_of

EXAMPLES = {"zfs": 6}  # each layer is several commands there


def slow(driver):
    wanted = int(os.environ.get("LAMINA_EXAMPLES", EXAMPLES.get(driver, 20)))
    return settings(max_examples=wanted, deadline=None, suppress_health_check=list(HealthCheck))


# What a driver's own tools cannot keep: a directory or a symbolic link that fuse-overlayfs copied
# up has the time of the copying, so that a second name for such a link changes the first; a link
# takes no attributes.
LIMITS = {"fuse-overlayfs": {"copied times", "links"}}
EPOCH = 1_600_000_000  # between the layers' times and now

paths = st.sampled_from(["a", "b", "c", "a/x", "a/y", "b/x", "b/y", "b/y/z", "a/x/q"])
texts = st.sampled_from("0123")
members = st.one_of(
    st.builds(lambda path, text: f"f {path} {text}", paths, texts),
    st.builds(lambda path, mode: f"d {path} {mode}", paths, st.sampled_from(["755", "700"])),
    st.builds(lambda path, to: f"l {path} -> {to}", paths, st.sampled_from(["a", "/b", "../c"])),
    st.builds(lambda path: f"w {path}", paths),
    st.builds(lambda path: f"o {path}", st.sampled_from(["a", "b", "."])),
)
layers = st.lists(st.lists(members, max_size=7).map("\n".join), min_size=1, max_size=3)


def _write(root, path, text):
    with open(f"{root}/{path}", "w") as file:
        file.write(text)


def _write_back_in_time(root, path, text):
    """The same size and the same time, so that only the content tells."""
    before = os.stat(f"{root}/{path}")
    _write(root, path, text)
    os.utime(f"{root}/{path}", ns=(before.st_atime_ns, before.st_mtime_ns))


def _remove(root, path, _):
    target = f"{root}/{path}"
    if os.path.isdir(target) and not os.path.islink(target):
        shutil.rmtree(target)
    else:
        os.unlink(target)


def _rename(root, path, other):
    if os.path.isdir(f"{root}/{path}"):
        return  # overlayfs answers EXDEV for a lower directory, and mv copies it
    os.rename(f"{root}/{path}", f"{root}/{other}")


ACTS = {
    "write": _write,
    "write back in time": _write_back_in_time,
    "remove": _remove,
    "rename": _rename,
    "mkdir": lambda root, path, _: os.mkdir(f"{root}/{path}", 0o755),
    "link": lambda root, path, other: os.link(
        f"{root}/{path}", f"{root}/{other}", follow_symlinks=False
    ),
    "symlink": lambda root, path, text: os.symlink(text, f"{root}/{path}"),
    "chmod": lambda root, path, _: os.chmod(f"{root}/{path}", 0o711),
    "chown": lambda root, path, _: os.lchown(f"{root}/{path}", 7, 8),
    "xattr": lambda root, path, text: os.setxattr(
        f"{root}/{path}", "trusted.x", text.encode(), follow_symlinks=False
    ),
}
FOLLOWING = ("write", "write back in time", "chmod")  # a link at the end of their path
acts = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)), paths, st.one_of(texts, paths)), max_size=9
)


def _is_inside(root, path):
    """Whether a path stays in the tree for us, who are not confined to it as a container is."""
    return f"{os.path.realpath(f'{root}/{path}')}/".startswith(f"{os.path.realpath(root)}/")


def _perform(root, chosen, limits):
    for act, path, other in chosen:
        place = path if act in FOLLOWING else os.path.dirname(path)
        if not (_is_inside(root, place) and _is_inside(root, os.path.dirname(other))):
            continue
        if act in ("link", "xattr") and "links" in limits and os.path.islink(f"{root}/{path}"):
            continue
        try:
            ACTS[act](root, path, other)
        except OSError:
            pass  # what one driver's tree refuses, the others' refuse as well


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


def _flat(folder, wanted):
    for text in wanted:
        root = f"{folder}/{secrets.token_hex(4)}"
        shutil.copytree(f"{folder}/now", root, symlinks=True)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            apply(descriptor, read(io.BytesIO(tar_of(text))), form=FLAT)
            os.rename(f"{folder}/now", f"{root}.old")
            os.rename(root, f"{folder}/now")
        except BadArchive:
            pass
        finally:
            os.close(descriptor)
    return describe(f"{folder}/now")


def _digest(bench, layer, parent, limits):
    """The digest of the tar of what changed, as `commit` would write it."""
    view = bench.driver.view(layer)
    try:
        out = io.BytesIO()
        entries = changed_entries(bench.driver.changes(layer, parent), view, clamp=EPOCH)
        write(((_blurred(entry, limits), opener) for entry, opener in entries), out.write)
        return hashlib.sha256(out.getvalue()).hexdigest()
    finally:
        view.close()


def _blurred(entry, limits):
    if "copied times" in limits and entry.kind in (DIR, SYMLINK):
        return entry._replace(mtime_ns=0)
    return entry


def test_the_tree_is_that_of_layers_applied_onto_one_root(make, driver):
    bench = make(driver)

    @slow(driver)
    @given(layers)
    def compare(wanted):
        folder = tempfile.mkdtemp()
        try:
            os.mkdir(f"{folder}/now")
            top, _ = _built(bench, wanted)
            tree = bench.tree(top) if top is not None else []
            assert tree == _flat(folder, wanted)
        finally:
            shutil.rmtree(folder)

    compare()


def test_the_same_change_gives_the_same_bytes_as_on_overlay2(make, other_driver):
    benches = [make(name) for name in ("overlay2", other_driver)]

    limits = LIMITS.get(other_driver, ())

    @slow(other_driver)
    @given(layers, acts)
    def compare(wanted, chosen):
        found = []
        for bench in benches:
            top, outcomes = _built(bench, wanted)
            layer = bench.writable(top)
            bench.inside(layer, lambda root: _perform(root, chosen, limits), writable=True)
            digest = _digest(bench, layer, top, limits)
            found.append((outcomes, bench.changes(layer, top), digest))
        assert found[0] == found[1]

    compare()
