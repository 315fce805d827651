import errno
import os
import stat
import subprocess
import sys

import pytest

from lamina.kernel import ioctl, xattr
from lamina.kernel.namespaces import effective_capabilities, has_capability
from lamina.kernel.openat import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    directory_entries,
    openat2,
    renameat2,
)
from lamina.kernel.statfs import filesystem_name, magic


@pytest.fixture
def folder(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def _opens(folder: int, path: bytes, resolve: int) -> int | None:
    try:
        os.close(openat2(folder, path, os.O_PATH, 0, resolve))
    except OSError as error:
        return error.errno
    return None


def test_each_way_of_resolving_refuses_its_own(tmp_path, folder):
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "d").mkdir()
    assert _opens(folder, b"link", RESOLVE_NO_SYMLINKS) == errno.ELOOP
    assert _opens(folder, b"link", RESOLVE_BENEATH) == errno.EXDEV
    assert _opens(folder, b"d/../..", RESOLVE_BENEATH) == errno.EXDEV
    assert _opens(folder, b"d/..", RESOLVE_BENEATH) is None
    proc = os.open("/", os.O_RDONLY)
    assert _opens(proc, b"proc/self", RESOLVE_NO_XDEV) == errno.EXDEV
    os.close(proc)


def test_opened_descriptors_are_not_inherited_and_modes_are_set(tmp_path, folder):
    made = openat2(folder, b"file", os.O_WRONLY | os.O_CREAT, 0o640)
    assert not os.get_inheritable(made)
    assert stat.S_IMODE(os.fstat(made).st_mode) == 0o640
    os.close(made)


def test_an_error_names_the_path(folder):
    with pytest.raises(FileNotFoundError) as caught:
        openat2(folder, b"gone/\xff", os.O_PATH)
    assert caught.value.filename == "gone/\udcff"


def test_renaming_may_refuse_to_replace_or_exchange(tmp_path, folder):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        renameat2(folder, b"a", folder, b"b", RENAME_NOREPLACE)
    renameat2(folder, b"a", folder, b"b", RENAME_EXCHANGE)
    assert (tmp_path / "a").read_text() == "b"
    renameat2(folder, b"a", folder, b"c", RENAME_NOREPLACE)
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


def test_raw_entries_are_all_there_with_their_types(tmp_path):
    """More of them than one call gives."""
    for number in range(2000):
        (tmp_path / f"{'long' * 20}{number}").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("x")
    (tmp_path / os.fsdecode(b"\xff")).touch()
    found = dict(directory_entries(str(tmp_path)))
    assert len(found) == 2003
    assert set(found) == set(map(os.fsencode, os.listdir(tmp_path)))
    assert (found[b"directory"], found[b"link"], found[b"\xff"]) == (4, 10, 8)


def test_attributes_of_what_cannot_be_opened(tmp_path, folder, needs_root, needs_mounts):
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").touch()
    os.mkfifo(tmp_path / "fifo")
    for name in (b"link", b"fifo"):
        place = xattr.place(folder, name)
        xattr.set_value(place, b"trusted.b", b"\0value")
        xattr.set_value(place, b"trusted.a", b"")
        assert xattr.names(place) == [b"trusted.a", b"trusted.b"]
        assert xattr.get(place, b"trusted.b") == b"\0value"
        xattr.remove(place, b"trusted.b")
        xattr.remove(place, b"trusted.b")
        assert xattr.get(place, b"trusted.b") is None
    assert xattr.names(xattr.place(folder, b"target")) == []


def test_where_no_attributes_are_kept_there_are_none():
    """Reading says so; writing must not be lost silently."""
    descriptor = os.open("/proc/self/status", os.O_RDONLY)
    assert xattr.names(descriptor) == []
    assert xattr.get(descriptor, b"user.x") is None
    xattr.remove(descriptor, b"user.x")
    with pytest.raises(OSError):
        xattr.set_value(descriptor, b"user.x", b"")
    os.close(descriptor)


def test_flags_that_protect_a_file_can_be_taken_off(tmp_path, needs_root):
    (tmp_path / "file").touch()
    changed = subprocess.run(
        ["chattr", "+i", str(tmp_path / "file")], capture_output=True, check=False
    )
    if changed.returncode:
        pytest.skip("no such flags here")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    assert ioctl.clear_protection(descriptor)
    assert not ioctl.clear_protection(descriptor)
    os.close(descriptor)
    (tmp_path / "file").unlink()


def test_writing_out_a_file_system(folder):
    ioctl.syncfs(folder)
    with pytest.raises(OSError):
        ioctl.syncfs(-1)


def test_file_systems_have_the_names_that_users_know():
    assert filesystem_name("/dev/shm") == "tmpfs"
    assert filesystem_name("/proc") == "unknown (0x9fa0)"
    assert filesystem_name("/nonesuch") == "unknown"
    assert magic("/dev/shm") == 0x01021994


def test_capabilities_are_this_threads_own(needs_root, needs_program):
    assert has_capability(0) == bool(effective_capabilities() & 1)
    script = (
        "from lamina.kernel.namespaces import has_capability, bounding_capabilities;"
        "print(has_capability(21), has_capability(27), bounding_capabilities() >> 21 & 1)"
    )
    without = ["--bounding-set=-sys_admin", "--inh-caps=-all"]
    done = subprocess.run(
        [needs_program("setpriv"), *without, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False True 0\n"
