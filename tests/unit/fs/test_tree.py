import errno
import os
import stat

import pytest

from lamina.fs.marks import USER
from lamina.fs.tree import FlatTree, StackedTree, keep_xattr, resolve
from tests.unit.fs.conftest import DEEP


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.fixture
def flat(tmp_path):
    trees = []

    def make(path=tmp_path):
        trees.append(FlatTree(_opened(path)))
        return trees[-1]

    yield make
    for tree in trees:
        tree.close()


@pytest.fixture
def stacked(tmp_path):
    trees = []

    def make(*names, **options):
        trees.append(StackedTree([_opened(tmp_path / name) for name in names], **options))
        return trees[-1]

    yield make
    for tree in trees:
        tree.close()


def _write(path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_path_never_leads_out_of_the_tree(tmp_path, flat):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root" / "link").symlink_to("..")
    tree = flat(tmp_path / "root")
    for path in (b"..", b"../secret", b"./../secret", b"link/secret", b"link/../secret", b"../.."):
        assert tree.lstat(path) is None
        assert tree.locate(path) is None
        with pytest.raises(OSError):
            tree.open(path)
        with pytest.raises(OSError):
            tree.listdir(path)
    assert tree.resolve(b"link/secret", follow_last=True) == b"secret"
    assert tree.lstat(b"secret") is None


@pytest.mark.parametrize("name", [b"nul\0", b"nul\0/x", b"n" * 256, b"n" * 256 + b"/x", b"a//b"])
def test_a_name_that_cannot_be_is_not_there(flat, name):
    assert flat().lstat(name) is None


def test_a_tree_may_be_very_deep(deep, flat, few_descriptors):
    tree = flat(deep)
    path = b"/".join([b"d"] * DEEP)
    assert tree.listdir(path) == [b"end"]
    assert tree.lstat(path + b"/end").st_mode & 0o777 == 0o640
    assert tree.lstat(b"d/d/d") is not None


def test_descriptors_are_bounded(tmp_path, stacked, few_descriptors, monkeypatch):
    """Ten layers of a hundred directories each are a thousand descriptors."""
    names = [f"layer{number}" for number in range(10)]
    for name in names:
        for number in range(100):
            (tmp_path / name / f"d{number}").mkdir(parents=True)
    open_before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(StackedTree, "_most", 40)
    tree = stacked(*names)
    for number in range(100):
        assert tree.listdir(b"d%d" % number) == []
        assert len(os.listdir("/proc/self/fd")) <= open_before + 10 + 40


def test_what_is_not_there_is_remembered_within_bounds(tmp_path, flat):
    tree = flat()
    for number in range(3000):
        assert tree.lstat(b"no%d/x" % number) is None
    assert len(tree._stacks) <= 1024


def test_asking_costs_one_call_per_layer_that_has_the_directory(tmp_path, stacked, monkeypatch):
    for name, folder in (("a", "x"), ("b", "common"), ("c", "y"), ("d", "common")):
        (tmp_path / name / folder).mkdir(parents=True)
    _write(tmp_path / "d" / "common" / "file")
    tree = stacked("a", "b", "c", "d")
    assert tree.lstat(b"common/file") is not None
    calls = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: calls.append(a) or real(*a, **k))
    assert tree.lstat(b"common/file") is not None
    assert len(calls) == 2


def test_opening_opens_nothing_that_acts(tmp_path, flat, needs_root):
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "device", stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "link").symlink_to("/etc/passwd")
    tree = flat()
    for name, number in ((b"fifo", "EINVAL"), (b"device", "EINVAL"), (b"link", "ELOOP")):
        with pytest.raises(OSError) as caught:
            tree.open(name)
        assert caught.value.errno == getattr(errno, number)


def test_a_flat_tree_knows_no_whiteouts(memory, flat, needs_root):
    os.mknod(f"{memory}/gone", stat.S_IFCHR | 0o600, 0)
    assert flat(memory).listdir(b"") == [b"gone"]
    assert flat(memory).lstat(b"gone") is not None
    union = StackedTree([_opened(memory)])
    assert union.listdir(b"") == []
    assert union.lstat(b"gone") is None
    union.close()


def test_only_this_unions_mark_makes_a_directory_opaque(tmp_path, stacked, needs_trusted_xattrs):
    """A process in a container may set the other form's mark on what it likes."""
    for name in ("top", "low"):
        _write(tmp_path / name / "d" / name)
    os.setxattr(tmp_path / "top" / "d", "user.overlay.opaque", b"y")
    assert stacked("top", "low").listdir(b"d") == [b"low", b"top"]
    user = stacked("top", "low", marks=USER)
    assert user.listdir(b"d") == [b"top"]
    os.setxattr(tmp_path / "top" / "d", "trusted.overlay.opaque", b"y")
    assert stacked("top", "low").listdir(b"d") == [b"top"]


def test_an_empty_union_is_an_empty_root():
    tree = StackedTree(())
    assert tree.listdir(b"") == []
    assert tree.lstat(b"") is None
    assert tree.lstat(b"etc") is None
    tree.close()


def test_links_are_followed_inside_the_union(tmp_path, stacked):
    _write(tmp_path / "low" / "usr" / "lib" / "so", "text")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "lib").symlink_to("/usr/lib")
    tree = stacked("top", "low")
    assert tree.resolve(b"/lib/so", follow_last=True) == b"usr/lib/so"
    assert tree.resolve(b"lib", follow_last=False) == b"lib"
    assert tree.resolve(b"lib/new/dir", follow_last=True) == b"usr/lib/new/dir"
    assert tree.resolve(b"../../lib/../..", follow_last=True) == b""


def test_links_in_a_circle_are_an_error(tmp_path, flat):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as caught:
        resolve(flat(), b"a", follow_last=True)
    assert caught.value.errno == errno.ELOOP


def test_forty_links_are_followed_and_one_more_is_not(tmp_path, flat):
    (tmp_path / "0").write_text("end")
    for number in range(1, 42):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    assert resolve(flat(), b"40", follow_last=True) == b"0"
    with pytest.raises(OSError):
        resolve(flat(), b"41", follow_last=True)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (b"security.capability", True),
        (b"system.posix_acl_access", True),
        (b"system.posix_acl_default", True),
        (b"user.mime_type", True),
        (b"trusted.own", True),
        (b"security.selinux", False),
        (b"security.ima", False),
        (b"security.evm", False),
        (b"system.nfs4_acl", False),
        (b"trusted.overlay.opaque", False),
        (b"trusted.overlay.overlay.opaque", False),
        (b"user.overlay.origin", False),
    ],
)
def test_which_attributes_a_layer_carries(name, kept):
    assert keep_xattr(name) is kept
