"""Resolution in a root is what a process sees that is really shut up in it by chroot(2)."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.fs.inroot import Root, open_by_steps
from lamina.fs.remove import remove_tree
from lamina.fs.tree import FlatTree

# One child per tree, forked from a process that does nothing else.
_ORACLE = """
import json, os, sys
for line in sys.stdin:
    root, paths = json.loads(line)
    child = os.fork()
    if not child:
        os.chroot(root)
        os.chdir("/")
        told = []
        for path in paths:
            for follow in (True, False):
                try:
                    status = os.stat("/" + path, follow_symlinks=follow)
                    told.append([status.st_dev, status.st_ino])
                except OSError as error:
                    told.append(error.errno)
        print(json.dumps(told), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""

_PART = st.sampled_from(["a", "b", "c", "a", "b", "..", "."])
_PATH = st.builds(
    lambda parts, before, after: before + "/".join(parts) + after,
    st.lists(_PART, min_size=1, max_size=5),
    st.sampled_from(["", "", "/", "//"]),
    st.sampled_from(["", "", "", "/", "/."]),
)
_FOREST = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
        st.one_of(st.just("file"), st.just("directory"), _PATH),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def oracle() -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _ORACLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield child
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    child.wait()


@pytest.mark.usefixtures("needs_root")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(forest=_FOREST, paths=st.lists(_PATH, min_size=1, max_size=12))
def test_a_chroot_sees_the_same(oracle, forest, paths):
    base = tempfile.mkdtemp(dir="/dev/shm", prefix="lamina-test-")
    root = f"{base}/a/b"  # with something above it that has the forest's own names
    os.makedirs(root)
    try:
        for path, kind in forest:
            _plant(os.path.join(root, path), kind)
        told = iter(_ask(oracle, root, paths))
        with Root.at(root) as opened:
            tree = FlatTree(os.dup(opened.fd))
            for path in paths:
                followed, unfollowed = next(told), next(told)
                _compare(opened, tree, path.encode(), followed, unfollowed)
            tree.close()
    finally:
        remove_tree(base)


def _plant(place: str, kind: str) -> None:
    folder = os.path.dirname(place)
    if os.path.realpath(folder) != folder:
        return  # a link planted earlier would lead the planting out of the root
    try:
        os.makedirs(folder, exist_ok=True)
        if kind == "file":
            open(place, "x").close()
        elif kind == "directory":
            os.mkdir(place)
        else:
            os.symlink(kind, place)
    except OSError:
        pass  # another plant is in the way


def _ask(oracle: "subprocess.Popen[str]", root: str, paths: list[str]) -> list[object]:
    assert oracle.stdin is not None
    assert oracle.stdout is not None
    oracle.stdin.write(json.dumps([root, paths]) + "\n")
    oracle.stdin.flush()
    answer: list[object] = json.loads(oracle.stdout.readline())
    return answer


def _compare(root: Root, tree: FlatTree, path: bytes, followed: object, unfollowed: object) -> None:
    assert _identity(lambda: root.open(path, os.O_PATH)) == followed
    assert _identity(lambda: open_by_steps(root.fd, path, os.O_PATH)) == followed
    flags = os.O_PATH | os.O_NOFOLLOW
    assert _identity(lambda: root.open(path, flags)) == unfollowed
    assert _identity(lambda: open_by_steps(root.fd, path, flags)) == unfollowed
    if isinstance(followed, list):  # what is not there, `resolve` may take for a name to make
        assert _identity_at(tree, tree.resolve(path, follow_last=True)) == followed
    elif followed == errno.ELOOP:
        with pytest.raises(OSError):
            tree.resolve(path, follow_last=True)


def _identity(opened) -> object:
    try:
        descriptor = opened()
    except OSError as error:
        return error.errno
    status = os.fstat(descriptor)
    os.close(descriptor)
    return [status.st_dev, status.st_ino]


def _identity_at(tree: FlatTree, path: bytes) -> object:
    status = tree.lstat(path)
    return None if status is None else [status.st_dev, status.st_ino]
