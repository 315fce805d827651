"""The merged view says what the kernel's overlayfs says, for any layers."""

import errno
import os
import stat
import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.fs.mounting import MountPlan, Overlay, in_private_namespace, open_detached
from lamina.fs.remove import remove_tree
from lamina.fs.tree import FlatTree, StackedTree, TreeView

_NAMES = [b"a", b"b", b"\xff"]
_PATHS = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map(b"/".join)
_ENTRY = st.tuples(
    _PATHS,
    st.sampled_from(["file", "directory", "opaque", "whiteout", "link", "fifo"]),
    st.integers(0, 3),
)
_LAYERS = st.lists(st.lists(_ENTRY, max_size=8), min_size=2, max_size=4)


@pytest.mark.usefixtures("needs_mounts", "needs_root")
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=_LAYERS)
def test_the_kernel_sees_the_same(layers):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        paths = []
        for number, entries in enumerate(layers):
            paths.append(f"{base}/{number}")
            os.mkdir(paths[-1])
            for path, kind, content in entries:
                _make(os.fsencode(paths[-1]), path, kind, content)
        mounted = open_detached(MountPlan(Overlay(tuple(paths), None, None, ())))
        kernel = FlatTree(mounted)
        ours = StackedTree([os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths])
        try:
            assert _described(ours, b"") == _described(kernel, b"")
            assert _absent(ours) == _absent(kernel)
        finally:
            kernel.close()
            ours.close()
            remove_tree(base)
            os.mkdir(base)


@pytest.mark.usefixtures("needs_root")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=_LAYERS)
def test_a_process_that_may_open_little_sees_the_same(layers):
    """What is merged layer by layer is what is merged directory by directory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        paths = [f"{base}/{number}" for number in range(len(layers))]
        for root, entries in zip(paths, layers, strict=True):
            os.mkdir(root)
            for path, kind, content in entries:
                _make(os.fsencode(root), path, kind, content)
        trees = [StackedTree([os.open(path, os.O_RDONLY) for path in paths]) for _ in range(2)]
        trees[1]._merged = _too_many  # type: ignore[method-assign]
        try:
            assert _described(trees[1], b"") == _described(trees[0], b"")
            assert _absent(trees[1]) == _absent(trees[0])
        finally:
            for tree in trees:
                tree.close()
            remove_tree(base)
            os.mkdir(base)


def _too_many(_path: bytes) -> tuple[int, ...]:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _make(root: bytes, path: bytes, kind: str, content: int) -> None:
    """Put one entry into a layer, unless what is there already is in the way."""
    place = os.path.join(root, path)
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if kind in ("directory", "opaque"):
            os.mkdir(place, 0o700 | content)
            if kind == "opaque":
                os.setxattr(place, "trusted.overlay.opaque", b"y")
        elif kind == "file":
            with open(place, "xb") as file:
                file.write(b"x" * content)
            os.setxattr(place, "trusted.content", b"%d" % content)
        elif kind == "link":
            os.symlink(_NAMES[content % 3], place)
        else:
            mode = stat.S_IFIFO if kind == "fifo" else stat.S_IFCHR
            os.mknod(place, mode | 0o600, 0)
    except OSError:
        pass


def _absent(tree: TreeView) -> list[bytes]:
    """The paths that a layer could have held, and that are not there."""
    every = [b"/".join(parts) for count in (1, 2, 3) for parts in product(_NAMES, repeat=count)]
    return [path for path in every if tree.lstat(path) is None]


def _described(tree: TreeView, path: bytes) -> list[tuple[object, ...]]:
    """All that a view tells of a path and of all below it."""
    status = tree.lstat(path)
    assert status is not None
    kind = stat.S_IFMT(status.st_mode)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    body: object = None
    below: list[tuple[object, ...]] = []
    if kind == stat.S_IFLNK:
        body = tree.readlink(path)
    elif kind == stat.S_IFREG:
        descriptor = tree.open(path)
        body = os.read(descriptor, 100), tree.xattrs(path)
        os.close(descriptor)
    elif kind == stat.S_IFDIR:
        names = [(name, path + b"/" + name if path else name) for name in tree.listdir(path)]
        # where nothing is merged the kernel lists a whiteout, and then says that it is not there
        names = [each for each in names if tree.lstat(each[1]) is not None]
        body = [name for name, _ in names]
        for _, inside in names:
            below += _described(tree, inside)
    return [(path, status.st_mode, size, status.st_mtime_ns, body), *below]


def test_what_a_process_leaves_in_an_upper_directory(memory, needs_mounts):
    """The marks are the kernel's own here: a removed name, a directory made anew."""
    tmp_path = Path(memory)
    for name in ("low/keep/old", "low/redone/old", "low/gone/old"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("up", "work", "at"):
        (tmp_path / name).mkdir()
    base = str(tmp_path)

    def work() -> list[tuple[object, ...]]:
        plan = MountPlan(Overlay((f"{base}/low",), f"{base}/up", f"{base}/work", ()))
        mounted = FlatTree(open_detached(plan))
        try:
            here = mounted.locate(b"")
            assert here is not None
            for name in ("gone/old", "gone", "redone/old", "redone"):
                os.rmdir(name, dir_fd=here[0])
            os.mkdir("redone", dir_fd=here[0])
            return _described(mounted, b"")
        finally:
            mounted.close()

    seen = in_private_namespace(work)
    ours = StackedTree([os.open(tmp_path / name, os.O_RDONLY) for name in ("up", "low")])
    assert _described(ours, b"") == seen
    assert ours.listdir(b"") == [b"keep", b"redone"]
    assert ours.listdir(b"redone") == []
    ours.close()
