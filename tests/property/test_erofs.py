"""Properties of EROFS layers: one tree with every other driver, and what GNU tar extracts."""

import io
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_archive import applied, layers, paths

from lamina.archive.apply import OVERLAY
from lamina.archive.erofs.layer import write_layer
from lamina.archive.reader import read
from lamina.errors import BadArchive
from lamina.fs.erofs import Erofs
from lamina.fs.mounting import (
    MountPlan,
    Overlay,
    Stacked,
    attach,
    in_private_namespace,
    open_trees,
)
from lamina.fs.tree import StackedTree
from lamina.testing.trees import describe, tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_erofs")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
SLOW = settings(
    max_examples=int(os.environ.get("LAMINA_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

links = st.builds(lambda path, to: f"h {path} -> {to}", paths, paths)
linked = st.lists(st.tuples(layers, st.lists(links, max_size=2)), min_size=1, max_size=2).map(
    lambda pairs: [text + "\n" + "\n".join(more) for texts, more in pairs for text in texts]
)


@SLOW
@given(linked)
@example(["f a/x 1\nf b/x 1", "h c -> a/x\nl a -> b"])
@example(["d a\nf a/x 1\nl b -> a", "w a/x\nf b/y 1", "o a\nh a/q -> b/y"])
def test_an_image_is_what_overlay2_would_have_written(texts):
    """The same members over the same layers: two forms, united by the same kernel, one tree."""
    folder = tempfile.mkdtemp()
    try:
        _compare(folder, texts)
    finally:
        shutil.rmtree(folder)


def _compare(folder, texts):
    uppers, images = [], []
    for number, text in enumerate(texts):
        outcomes = {
            _applied_to_directory(f"{folder}/{number}", text, uppers),
            _applied_to_image(f"{folder}/{number}.image", text, images),
        }
        assert len(outcomes) == 1, (text, outcomes)
        if outcomes == {"refused"}:
            return
    for name in "muw":
        os.mkdir(f"{folder}/{name}")
    upper, work = f"{folder}/u", f"{folder}/w"
    first = Overlay(tuple(reversed(uppers)), upper, work, ())
    second = Stacked(tuple(reversed(images)), upper, work)
    assert _seen(first, f"{folder}/m") == _seen(second, f"{folder}/m")


def _applied_to_directory(upper, text, uppers):
    os.mkdir(upper)
    lower = StackedTree([os.open(each, _DIRECTORY) for each in reversed(uppers)])
    try:
        applied(upper, tar_of(text), lower=lower, form=OVERLAY)
    except BadArchive:
        return "refused"
    finally:
        lower.close()
    uppers.append(upper)
    return "applied"


def _applied_to_image(folder, text, images):
    os.makedirs(f"{folder}/tree")
    lower = StackedTree(open_trees(tuple(reversed(images)))) if images else None
    try:
        write_layer(folder, read(io.BytesIO(tar_of(text))), lower, None)
    except BadArchive:
        return "refused"
    finally:
        if lower is not None:
            lower.close()
    names = [f"{folder}/layer.tar", f"{folder}/layer.data"]
    devices = tuple(name for name in names if os.path.exists(name))
    images.append(Erofs(f"{folder}/layer.erofs", devices, f"{folder}/tree", None))
    return "applied"


def _seen(root, target):
    def look():
        attach(MountPlan(root), target)
        return describe(target), times(target)

    return in_private_namespace(look)


def times(root):
    """The mtime of everything but the root, whose first layer's a directory gets from the clock."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = os.lstat(path).st_mtime_ns
    return found
