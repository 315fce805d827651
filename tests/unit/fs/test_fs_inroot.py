import errno
import os
import stat

import pytest

from lamina.errors import BadArchive
from lamina.fs import inroot
from lamina.fs.inroot import Root, clean, open_by_steps
from tests.unit.fs.conftest import DEEP


@pytest.fixture(params=["kernel", "steps"])
def root(request, tmp_path, monkeypatch):
    """A root resolved by openat2(2), and by the steps that stand in for it."""
    if request.param == "steps":

        def unknown(*_arguments):
            raise OSError(errno.ENOSYS, "openat2: Function not implemented")

        monkeypatch.setattr(inroot, "openat2", unknown)
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("outside")
    with Root.at(str(tmp_path / "root")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path, root):
    return tmp_path / "root"


def _read(root: Root, path: bytes) -> bytes:
    descriptor = root.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "path",
    [b"../secret", b"/../secret", b"d/../../secret", b"up/secret", b"far", b"absolute", b"d/deep"],
)
def test_nothing_outside_is_reached(root, folder, tmp_path, path):
    (folder / "d").mkdir()
    (folder / "up").symlink_to("..")
    (folder / "far").symlink_to("../../../../../../secret")
    (folder / "absolute").symlink_to(tmp_path / "secret")
    (folder / "d" / "deep").symlink_to("../../secret")
    for flags in (os.O_RDONLY, os.O_PATH, os.O_WRONLY | os.O_TRUNC):
        with pytest.raises(FileNotFoundError):
            root.open(path, flags)
    assert (tmp_path / "secret").read_text() == "outside"


def test_what_is_made_through_a_link_is_made_inside(root, folder, tmp_path):
    (folder / "etc").symlink_to("/usr/etc")
    (folder / "usr" / "etc").mkdir(parents=True)
    (folder / "usr" / "etc" / "name").symlink_to("../../../../made")
    os.close(root.open(b"etc/name", os.O_WRONLY | os.O_CREAT, 0o600))
    assert (folder / "made").exists()
    with pytest.raises(FileExistsError):
        root.open(b"etc/name", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]


def test_a_magic_link_opens_no_door(root, folder, needs_mounts):
    """A container's /proc is mounted in its root; its links lead anywhere on the host."""
    (folder / "proc").symlink_to("/self/root")
    with pytest.raises(OSError):
        root.open(b"proc/etc/passwd", os.O_RDONLY)
    with Root.at("/proc") as proc, pytest.raises(OSError):
        proc.open(b"self/root/etc/passwd", os.O_RDONLY)


_HOW = (
    *(os.O_RDONLY, os.O_PATH, os.O_RDONLY | os.O_DIRECTORY, os.O_PATH | os.O_DIRECTORY),
    *(os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
)


@pytest.mark.parametrize("flags", [how | more for how in _HOW for more in (0, os.O_NOFOLLOW)])
def test_a_single_name_is_opened_as_the_kernel_would(tmp_path, flags):
    names = (b"file", b"dir", b"to_file", b"to_dir", b"loop", b"nowhere", b"out", b"missing", b".")
    outcomes = []
    for number, call in enumerate((Root.open, _by_the_kernel)):
        folder = tmp_path / str(number) / "root"
        (folder / "dir").mkdir(parents=True)
        (folder / "file").write_text("text")
        (folder / "secret").write_text("inside")
        for name, target in (("to_file", "file"), ("to_dir", "dir"), ("loop", "loop")):
            (folder / name).symlink_to(target)
        (folder / "nowhere").symlink_to("made")
        (folder / "out").symlink_to("../../../secret")
        with Root.at(str(folder)) as root:
            outcomes.append([_outcome(call, root, name, flags) for name in names])
    assert outcomes[0] == outcomes[1]


def _by_the_kernel(root, name, flags, mode):
    return inroot.openat2(root.fd, name, flags, mode)


def _outcome(call, root, name, flags):
    """What the descriptor shows, where it lies and whether a program inherits it; or the error."""
    try:
        descriptor = call(root, name, flags, 0o600 if flags & os.O_CREAT else 0)
    except OSError as error:
        return error.errno, error.filename
    kind = stat.filemode(os.fstat(descriptor).st_mode)
    place = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
    inherited = os.get_inheritable(descriptor)
    os.close(descriptor)
    return kind, place, inherited


def test_a_nul_byte_ends_no_path(root, folder):
    (folder / "a").write_text("a")
    with pytest.raises(OSError, match="NUL"):
        root.open(b"a\0b", os.O_RDONLY)


def test_paths_longer_than_one_call_takes(deep, few_descriptors):
    path = b"/".join([b"d"] * DEEP) + b"/end"
    assert len(path) > 4096
    with Root.at(deep) as root:
        status = root.lstat(path)
        assert status is not None
        assert stat.S_IMODE(status.st_mode) == 0o640


def test_the_last_part_may_stay_unfollowed(root, folder):
    (folder / "file").write_text("text")
    (folder / "link").symlink_to("file")
    (folder / "loop").symlink_to("loop")
    assert stat.S_ISLNK(root.lstat(b"link").st_mode)
    assert root.readlink(b"link") == b"file"
    assert root.lstat(b"missing") is None
    assert root.lstat(b"file/below") is None
    assert stat.S_ISLNK(root.lstat(b"loop").st_mode)
    for path, number in ((b"link", errno.ELOOP), (b"loop/x", errno.ELOOP)):
        with pytest.raises(OSError) as caught:
            root.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        assert caught.value.errno == number


def test_the_directory_that_holds_a_path(root, folder):
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    directory, name = root.parent(b"/link/name/")
    assert (os.fstat(directory).st_ino, name) == (os.stat(folder / "real").st_ino, b"name")
    os.close(directory)
    for path in (b"", b"/", b".", b"..", b"real/..", b"real/."):
        with pytest.raises(OSError, match="no name"):
            root.parent(path)
    assert root.lstat(b"..").st_ino == root.lstat(b"").st_ino == os.stat(folder).st_ino


def test_directories_are_made_where_links_lead(root, folder, tmp_path, needs_root):
    (folder / "opt").symlink_to("/usr/opt")  # leads to nothing yet
    assert root.makedirs(b"opt/app/data", 0o775, 7, 8) == [
        b"usr",
        b"usr/opt",
        b"usr/opt/app",
        b"usr/opt/app/data",
    ]
    status = os.stat(folder / "usr" / "opt" / "app")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o775, 7, 8)
    assert root.makedirs(b"opt/app/data") == []
    assert root.makedirs(b"../../out") == [b"out"]
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]


def test_small_files_are_read_whole_or_not_at_all(root, folder):
    (folder / "passwd").write_text("root")
    (folder / "link").symlink_to("/passwd")
    os.mkfifo(folder / "fifo")
    assert root.open_file(b"link", 4) == b"root"
    for path, words in ((b"passwd", "larger than 3"), (b"fifo", "regular"), (b"..", "regular")):
        with pytest.raises(OSError, match=words):
            root.open_file(path, 3)


def test_a_directory_that_moves_away_meanwhile_leads_nowhere(tmp_path):
    """By steps `..` is walked down again from the root: it is never asked of a directory."""
    (tmp_path / "root" / "d").mkdir(parents=True)
    descriptor = os.open(tmp_path / "root", os.O_RDONLY)
    opened = open_by_steps(descriptor, b"d/..", os.O_PATH)
    assert os.fstat(opened).st_ino == os.fstat(descriptor).st_ino
    os.close(opened)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"a/b", b"a/b"),
        (b"/a/b/", b"a/b"),
        (b"./a//b/.", b"a/b"),
        (b"a/../b", b"b"),
        (b"a/..", b""),
        (b"", b""),
        (b"./", b""),
        (b"..a/...", b"..a/..."),
        (b"\xff" * 255, b"\xff" * 255),
    ],
)
def test_names_are_cleaned(name, path):
    assert clean(name) == path


@pytest.mark.parametrize("name", [b"..", b"../a", b"a/../../b", b"/..", b"a\0", b"n" * 256])
def test_names_that_cannot_be(name):
    with pytest.raises(BadArchive) as caught:
        clean(name)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)
