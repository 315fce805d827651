"""What a cache mount holds, read while others may write, and laid down again: the same tree."""

import hashlib
import io
import os
import tarfile
import tempfile
import threading
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.archive.unsteady import Reading, everything, members
from lamina.archive.writer import write
from lamina.build.mountfilling import fill
from lamina.build.mountname import MountName
from lamina.build.record import Blob, Filling
from lamina.build.stop import Stop
from lamina.errors import LaminaError
from lamina.fs.tree import FlatTree
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor
from lamina.testing.trees import describe
from lamina.values.digest import BlobDigest, DiffID

pytestmark = pytest.mark.usefixtures("needs_root")

_NAMES = st.sampled_from(
    ["a", "b", "long" * 30, "ü", "sp ace", "new\nline", b"\xff".decode("utf-8", "surrogateescape")]
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(tuple)
_NODES = st.one_of(
    st.tuples(st.just("file"), st.integers(0, 3), st.integers(0, 0o7777)),
    st.tuples(st.just("large"), st.just(0), st.integers(0, 0o7777)),
    st.tuples(st.just("link"), _NAMES, st.just(0)),
    st.tuples(st.just("again"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("fifo"), st.just(0), st.integers(0, 0o777)),
    st.tuples(st.just("folder"), st.just(0), st.integers(0, 0o7777)),
)
_TREES = st.dictionaries(_PATHS, st.tuples(_NODES, st.integers(-5, 1 << 33)), max_size=8)


def make(root, tree):
    """A tree on disk; what cannot be, since another name is in the way, is not."""
    files = []
    for path, ((kind, value, mode), seconds) in tree.items():
        place = os.path.join(root, *path)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if kind == "file":
                with open(place, "xb") as file:
                    file.write(b"x" * value)
                files.append(place)
            elif kind == "large":
                with open(place, "xb") as file:
                    file.write(os.urandom(70_000) * 16)
            elif kind == "link":
                os.symlink(value, place)
            elif kind == "again":
                os.link(files[value % len(files)], place) if files else None
            elif kind == "fifo":
                os.mkfifo(place)
            else:
                os.mkdir(place)
            if kind not in ("link", "again"):
                os.chmod(place, mode)
            os.utime(place, ns=(0, seconds * 10**9 + 5), follow_symlinks=False)
        except OSError:
            continue


def scratch():
    return os.memfd_create("copy")


@contextmanager
def opened(path):
    with closing(FlatTree(os.open(path, os.O_RDONLY | os.O_DIRECTORY))) as tree:
        yield tree


def archived(path, copies=scratch):
    """The tar of a directory, and what was left out of it."""
    out, left_out = io.BytesIO(), []
    with opened(path) as tree:
        write(members(everything(tree), tree, Reading(copies, left_out.append)), out.write)
    return out.getvalue(), left_out


def filled(path, data, size=None):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    about = Descriptor.of(mediatypes.OCI_LAYER, BlobDigest(digest), len(data))
    size = len(data) if size is None else size
    filling = Filling(MountName("/c"), DiffID(digest), size, BlobDigest(digest))
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fill(root, filling, Blob(about, lambda: io.BytesIO(data)), Stop())
    finally:
        os.close(root)


@settings(max_examples=60, deadline=None)
@given(_TREES, st.booleans())
def test_what_is_laid_down_is_what_was_read(tree, alone):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        make(one, tree)
        os.chmod(one, 0o2750)
        data, left_out = archived(one, None if alone else scratch)
        assert left_out == []
        assert archived(one) == (data, [])
        filled(other, data)
        assert describe(other) == describe(one)
        assert archived(other) == (data, [])


@settings(max_examples=60, deadline=None)
@given(_TREES, st.data())
def test_what_was_tampered_with_is_refused_or_the_same(tree, data):
    """Whatever bytes come under a promise: they are laid down whole, or there is an error."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        make(one, tree)
        tar = bytearray(archived(one)[0])
        at = data.draw(st.integers(0, len(tar) - 1))
        tar[at] ^= data.draw(st.integers(1, 255))
        try:
            filled(other, bytes(tar), data.draw(st.integers(0, 2 * len(tar))))
        except LaminaError:
            return
        assert archived(other)[1] == []


def test_a_file_that_changes_while_it_is_copied_is_looked_at_again(tmp_path):
    """As it is in the end, or told of where it never stands still; never a bit of each."""
    changes = {"always": 99, "once": 1}
    for name in changes:
        (tmp_path / name).write_bytes(b"a" * (2 << 20))
    asked = iter(["always"] * 3 + ["once"] * 2)

    def changing():
        name = next(asked)
        if changes[name]:
            changes[name] -= 1
            (tmp_path / name).write_bytes(b"b" * ((2 << 20) + changes[name]))
        return scratch()

    data, left_out = archived(tmp_path, changing)
    assert left_out == [b"always"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == [".", "once"]
        assert archive.extractfile("once").read() == b"b" * (2 << 20)


def test_whatever_others_do_the_archive_is_one(tmp_path):
    """A thread makes, moves and removes all the time: every tar can be read to its end."""
    ends = threading.Event()

    def churn():
        number = 0
        while not ends.is_set():
            number += 1
            folder = tmp_path / str(number % 5)
            folder.mkdir(exist_ok=True)
            (folder / "f").write_bytes(b"x" * (number * 977 % 50_000))
            with open(tmp_path / "grows", "ab") as file:
                file.write(b"line\n")
            os.link(folder / "f", folder / f"g{number}")
            os.rename(folder / f"g{number}", folder / "g")
            if number % 3 == 0:
                for each in os.listdir(folder):
                    os.unlink(folder / each)
                folder.rmdir()
            if number % 7 == 0:
                os.truncate(tmp_path / "grows", 0)
            if number % 4 == 0:
                (tmp_path / "turns").mkdir(exist_ok=True)
                (tmp_path / "turns").rmdir()
                os.symlink("/etc/passwd", tmp_path / "turns")
                os.unlink(tmp_path / "turns")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(60):
            data, _ = archived(tmp_path)
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    assert "root:" not in member.name
                    if member.isreg():
                        body = archive.extractfile(member).read()
                        assert set(body) <= set(b"x") or set(body) <= set(b"line\n")
            with tempfile.TemporaryDirectory() as other:
                filled(other, data)
    finally:
        ends.set()
        thread.join()
