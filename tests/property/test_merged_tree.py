"""The merged tree of layer indexes is the tree that the driver shows, for any layers."""

import hashlib
import io
import os
import stat
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings

from lamina.analyze.losses import account
from lamina.analyze.merged import MergedTree
from lamina.archive.entry import DIR, FILE, SYMLINK
from lamina.errors import BadArchive
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from tests.property.test_driver_trees import layers

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
EXAMPLES = int(os.environ.get("LAMINA_EXAMPLES", "40"))
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: "char",
    stat.S_IFIFO: "fifo",
}


def build(store, wanted):
    """The layers as far as all of them are good, and the tree of their indexes."""
    top, merged, sizes = None, MergedTree(), []
    for text in wanted:
        try:
            layer = store.layers.register(top, io.BytesIO(tar_of(text)))
        except BadArchive:
            continue
        top = layer.chain_id
        with store.layers.index(layer) as index:
            merged.add_layer(index.records())
        sizes.append(layer.size)
    return top, merged, sizes


def told(merged):
    """Every path with what the indexes say of it; a file by the first of its names."""
    found, names = {}, {}
    for path, node in sorted(merged.nodes()):
        now = node.now
        if now is None or not path:
            continue
        same = names.setdefault(id(now.body), path) if now.kind == FILE else None
        content = {FILE: (now.size, now.digest), SYMLINK: now.link}.get(now.kind, now.device)
        facts = (now.mode, now.uid, now.gid, now.mtime_ns)
        owner = None if now.kind == SYMLINK else facts
        found[path] = (now.kind, owner, content, same)
    return found


def seen(view, path=b"", names=None):
    """The same of what a driver shows."""
    found, names = {}, {} if names is None else names
    for name in view.listdir(path):
        inner = path + b"/" + name if path else name
        status = view.lstat(inner)
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        content, same = None, None
        if kind == FILE:
            same = names.setdefault((status.st_dev, status.st_ino), inner)
            content = (status.st_size, digest(view, inner))
        elif kind == SYMLINK:
            content = view.readlink(inner)
        elif kind == "char":
            content = (os.major(status.st_rdev), os.minor(status.st_rdev))
        owner = (
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
        )
        found[inner] = (kind, None if kind == SYMLINK else owner, content, same)
        if kind == DIR:
            found.update(seen(view, inner, names))
    return found


def digest(view, path):
    descriptor = view.open(path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    return hashlib.sha256(data).digest() if data else b""


@pytest.mark.parametrize("driver", ["vfs", "overlay2", "erofs"])
def test_the_merged_tree_is_what_the_driver_shows(driver):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(layers)
    def compare(wanted):
        with tempfile.TemporaryDirectory() as folder:
            store = ScratchStore(folder, driver)
            try:
                top, merged, sizes = build(store, wanted)
                view = store.layers.view(top) if top is not None else None
                shown = seen(view) if view is not None else {}
                if view is not None:
                    view.close()
                assert_equal(told(merged), shown, links=driver == "vfs")
                assert_adds_up(account(merged), shown, sizes, links=driver == "vfs")
            finally:
                store.close()

    compare()


def assert_equal(told, shown, *, links):
    """A union copies a linked file away from its other names, so only vfs is asked for those."""
    if not links:
        told, shown = ({path: fact[:3] for path, fact in each.items()} for each in (told, shown))
    assert told == shown


def assert_adds_up(ledger, shown, sizes, *, links):
    """What is stored is what the store says, and what is seen is what the driver shows."""
    assert list(ledger.stored) == sizes
    assert sum(ledger.stored) == sum(ledger.visible) + sum(each.size for each in ledger.losses)
    if links:
        files = {fact[3]: fact[2][0] for fact in shown.values() if fact[0] == FILE}
        assert sum(ledger.visible) == sum(files.values())
