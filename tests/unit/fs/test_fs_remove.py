import fcntl
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.errors import StorageError
from lamina.fs.mounting import in_private_namespace
from lamina.fs.remove import remove_into, remove_tree
from lamina.kernel import mount as kernel


def _protect(path, flags: int) -> None:
    """What `chattr` does (FS_IOC_SETFLAGS)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x40086602, struct.pack("l", flags))
    except OSError as error:
        pytest.skip(f"no such flags here: {error.strerror}")
    finally:
        os.close(descriptor)


def test_a_tree_of_everything(memory, needs_root):
    tmp_path = Path(memory)
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    (top / "link").symlink_to(tmp_path)
    os.mkfifo(top / "a" / "fifo")
    os.mknod(top / "a" / "whiteout", stat.S_IFCHR, 0)
    (top / os.fsdecode(b"\xff\n")).touch()
    (tmp_path / "kept").touch()
    remove_tree(f"{top}/")
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("name", ["file", "link", "gone", "gone/below"])
def test_what_is_no_directory(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    remove_tree(str(tmp_path / name))
    assert not os.path.lexists(tmp_path / name)
    assert len(os.listdir(tmp_path)) == (2 if "gone" in name else 1)


def test_five_thousand_levels(deep, few_descriptors):
    remove_tree(deep)
    assert not os.path.exists(deep)


def test_each_directory_is_read_once(tmp_path, monkeypatch):
    """Else a directory of thousands of full ones takes minutes."""
    for number in range(50):
        (tmp_path / "top" / f"d{number}").mkdir(parents=True)
        (tmp_path / "top" / f"d{number}" / "file").touch()
    read = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda where: read.append(where) or scan(where))
    remove_tree(str(tmp_path / "top"))
    assert len(read) == 51


@pytest.mark.parametrize("flags", [0x10, 0x20], ids=["immutable", "append-only"])
def test_protected_files_and_directories(tmp_path, needs_root, flags):
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "empty").mkdir()
    (top / "a" / "file").touch()
    (top / "a" / "b" / "link").symlink_to("x")
    os.chmod(top / "a" / "b", 0)
    for path in (top / "a" / "file", top / "a" / "b", top / "a" / "empty", top / "a", top):
        _protect(path, flags)
    remove_tree(str(top))
    assert os.listdir(tmp_path) == []


def test_what_lies_beside_the_tree_keeps_its_protection_and_mode(tmp_path, needs_root):
    """Only what is to be removed is changed: here the directory that holds it forbids it."""
    (tmp_path / "top").mkdir()
    os.chmod(tmp_path, 0o710)
    _protect(tmp_path, 0x10)
    try:
        with pytest.raises(StorageError, match="Operation not permitted"):
            remove_tree(str(tmp_path / "top"))
        assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o710
        assert (tmp_path / "top").exists()
    finally:
        _protect(tmp_path, 0)


def test_directories_that_shut_their_owner_out(tmp_path, needs_root, needs_program):
    """As an ordinary user meets them: overlayfs leaves `work/work` with mode 000."""
    for name in ("work/work", "r/only"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "file").touch()
    os.chmod(tmp_path / "top" / "work" / "work", 0)
    os.chmod(tmp_path / "top" / "r" / "only", 0o500)
    os.chmod(tmp_path / "top" / "r", 0o500)
    script = f"from lamina.fs.remove import remove_tree; remove_tree({str(tmp_path / 'top')!r})"
    without = "--bounding-set=-dac_override,-dac_read_search"
    done = subprocess.run(
        [needs_program("setpriv"), without, "--inh-caps=-all", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["directory", "file", "root", "other"])
def test_what_is_mounted_in_a_tree_stays(tmp_path, needs_mounts, kind):
    """A bind of the same file system looks like any directory; its content is another's."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    top = tmp_path / "top"
    (top / "sub" / "at").mkdir(parents=True)
    (top / "sub" / "place").touch()

    def work() -> str:
        if kind == "directory":
            kernel.mount(str(precious), str(top / "sub" / "at"), "", kernel.MS_BIND)
        elif kind == "file":
            kernel.mount(str(precious / "file"), str(top / "sub" / "place"), "", kernel.MS_BIND)
        elif kind == "root":
            kernel.mount(str(precious), str(top), "", kernel.MS_BIND)
        else:
            kernel.mount("tmpfs", str(top / "sub" / "at"), "tmpfs")
        with pytest.raises(StorageError) as caught:
            remove_tree(str(top))
        return str(caught.value)

    words = in_private_namespace(work)
    assert (precious / "file").read_text() == "precious"
    where = {"file": "top/sub/place", "root": "top"}.get(kind, "top/sub/at")
    assert words == (
        f"not removing {tmp_path}/{where}: Device or resource busy,"
        " something is mounted there; unmount it first"
    )


def test_by_way_of_the_trash(tmp_path):
    (tmp_path / "trash").mkdir()
    (tmp_path / "layer" / "diff").mkdir(parents=True)
    (tmp_path / "layer" / "diff" / "file").touch()
    remove_into(str(tmp_path / "layer"), str(tmp_path / "trash"))
    remove_into(str(tmp_path / "layer"), str(tmp_path / "trash"))
    assert os.listdir(tmp_path) == ["trash"]
    assert os.listdir(tmp_path / "trash") == []


def test_the_trash_may_lie_on_another_file_system(tmp_path, memory):
    (tmp_path / "layer" / "diff").mkdir(parents=True)
    remove_into(str(tmp_path / "layer"), memory)
    assert os.listdir(tmp_path) == []


def test_a_name_in_the_way_that_vanishes_meanwhile(tmp_path, monkeypatch):
    """Two processes may empty the same trash."""
    for name in ("a", "b", "c"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "file").touch()
    unlink = os.unlink

    def late(name, **options):
        unlink(name, **options)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "unlink", late)
    remove_tree(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []
