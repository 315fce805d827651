"""A layer that stands on an earlier version of itself is the layer that it would be without.

Three trees are drawn: what is below, what was copied onto it, and what is copied now. On overlay2
the last is made as a version of the one before; on vfs, and in a store of its own, from nothing.
"""

import hashlib
import os
import tempfile
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lamina.archive import index
from lamina.archive.entry import DIR, FILE, SYMLINK, Entry, Held
from lamina.fs.mounting import detached
from lamina.layers import versions
from lamina.layers.check import check
from lamina.layers.source import EntrySource
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import describe

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
EXAMPLES = int(os.environ.get("LAMINA_EXAMPLES", "60"))
_TIMES = (10**18, 10**18 + 5)

_FILE = (FILE, "one", 0o644, _TIMES[0])
_FOLDER = (DIR, "", 0o755, _TIMES[0])

names = st.sampled_from(("a", "a-b", "b", "c"))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
files = st.tuples(
    st.sampled_from((FILE, FILE, DIR, SYMLINK)),
    st.sampled_from(("", "one", "two", "x" * 700)),
    st.sampled_from((0o644, 0o755)),
    st.sampled_from(_TIMES),
)
trees = st.dictionaries(paths, files, max_size=12)


def whole(tree):
    """The tree with all directories that lead to something, each of which is one."""
    found = {}
    for path, what in sorted(tree.items()):
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            if found.get(above, (DIR,))[0] != DIR:
                break
            found.setdefault(above, (DIR, "", 0o755, _TIMES[0]))
        else:
            found[path] = what
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}


def entries(tree):
    for name, (kind, text, mode, mtime) in whole(tree).items():
        data = text.encode()
        size = len(data) if kind == FILE else 0
        link = (data or b"nowhere") if kind == SYMLINK else b""
        mode = 0o777 if kind == SYMLINK else mode
        entry = Entry(name.encode(), kind, mode, 0, 0, size, mtime, link)
        yield entry, Held(data, hashlib.sha256(data).digest()) if size else None


def copied(store, parent, tree):
    return store.layers.register_entries(parent, EntrySource(entries(tree)))


def copied_again(store, parent, before, tree):
    """The layer, and whether it stands on the earlier one."""
    try:
        with store.layers.version(parent, before) as version:
            source = EntrySource(entries(tree), version.entries)
            return store.layers.register_entries(parent, source, version), True
    except versions.Unlike:
        return copied(store, parent, tree), False


def shown(store, layer):
    """The merged tree as who mounts it sees it, with the times."""
    with detached(store.layers.mounts(layer.id, writable=False)) as tree:
        root = f"/proc/self/fd/{tree}/."
        return [
            (line, os.lstat(f"{root}/{line.split()[1]}").st_mtime_ns) for line in describe(root)
        ]


def exported(store, layer):
    tar = []
    store.layers.export(layer.chain_id, tar.append)
    return b"".join(tar)


def indexed(store, layer):
    with closing(store.layers.index(layer)) as reader:
        return reader.footer, list(reader.records())


@contextmanager
def stores():
    with tempfile.TemporaryDirectory() as folder:
        one = ScratchStore(f"{folder}/one", "overlay2")
        other = ScratchStore(f"{folder}/other", "vfs")
        with closing(one), closing(other):
            yield one, other


@pytest.fixture(autouse=True)
def of_any_size():
    """However small a layer is, it can be stood on, has frames, and all of it may differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "LEAST", 1)
        patch.setattr(versions, "PART", 0.01)
        patch.setattr(index, "_PER_FRAME", 3)
        yield


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@example(below={"a/b": _FILE}, old={"a": _FILE}, new={"a": _FOLDER})
@example(below={"a/b": _FILE}, old={"a": _FILE}, new={"a-b": _FILE})
@example(below=None, old={"a": _FILE, "b": _FILE}, new={"a/b": _FILE, "b": _FILE})
@example(below=None, old={"a/b/c": _FILE, "b": _FILE}, new={"a": _FILE, "b": _FILE})
@given(below=st.none() | trees, old=trees.filter(bool), new=trees.filter(bool))
def test_a_version_is_the_layer_that_it_would_be_from_nothing(below, old, new):
    with stores() as (one, other):
        tops = []
        for store in (one, other):
            parent = copied(store, None, below).chain_id if below else None
            first = copied(store, parent, old)
            if store is one:
                last, stands = copied_again(store, parent, first.chain_id, new)
            else:
                last = copied(store, parent, new)
            tops.append(last)
        assert tops[0].chain_id == tops[1].chain_id
        assert (tops[0].size, tops[0].entries) == (tops[1].size, tops[1].entries)
        assert exported(one, tops[0]) == exported(other, tops[1])
        assert indexed(one, tops[0]) == indexed(other, tops[1])
        assert shown(one, tops[0]) == shown(other, tops[1])
        assert [each.chain_id for each in one.layers.chain(tops[0].chain_id)] == [
            each.chain_id for each in other.layers.chain(tops[1].chain_id)
        ]
        assert stands or below
        assert check(one.root, one.layers.driver, full=True) == []
