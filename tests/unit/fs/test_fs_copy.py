import os
import socket
import stat
import struct
import subprocess

import pytest

from lamina.fs.copy import copy_file, copy_range, copy_tree
from lamina.fs.walk import walk

_MTIME = 1_600_000_000_123_456_789
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # net_bind_service, version 2
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (0x01, 6, 0xFFFFFFFF),  # owner
        (0x02, 7, 1234),  # a named user
        (0x04, 4, 0xFFFFFFFF),  # group
        (0x10, 7, 0xFFFFFFFF),  # mask
        (0x20, 0, 0xFFFFFFFF),  # others
    )
)


@pytest.fixture
def source(tmp_path, needs_trusted_xattrs):
    """One of everything that a layer can hold."""
    top = tmp_path / "source"
    folder = top / "folder"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"text\n" * 1000)
    (folder / "empty").touch()
    with open(top / "sparse", "wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
        file.truncate(16 << 20)
    os.link(folder / "file", top / "zz-second-name")
    (folder / "setuid").write_bytes(b"#!")
    os.chown(folder / "setuid", 12, 34)
    os.chmod(folder / "setuid", 0o6755)
    (folder / "capable").write_bytes(b"ELF")
    os.setxattr(folder / "capable", "security.capability", _CAPABILITY)
    os.setxattr(folder / "file", "user.comment", b"\0binary\xff")
    os.setxattr(folder / "file", "system.posix_acl_access", _ACL)
    os.setxattr(folder, "system.posix_acl_default", _ACL)
    os.setxattr(folder, "trusted.overlay.opaque", b"y")
    (top / "link").symlink_to("folder/\udcff missing")
    os.chown(top / "link", 5, 6, follow_symlinks=False)
    os.setxattr(top / "link", "trusted.of.link", b"1", follow_symlinks=False)
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "block", stat.S_IFBLK | 0o660, os.makedev(7, 99))
    (top / os.fsdecode(b"n\xff\n" + b"x" * 252)).touch()
    (top / "sticky").mkdir()
    os.chmod(top / "sticky", 0o3777)
    (top / "shut").mkdir()
    (top / "shut" / "inside").touch()
    os.chmod(top / "shut", 0)
    for number, (path, _, names) in enumerate(os.walk(top, topdown=False)):
        for name in names:
            os.utime(f"{path}/{name}", ns=(1, _MTIME + number), follow_symlinks=False)
        os.utime(path, ns=(2, _MTIME - number))
    return top


@pytest.fixture
def copied(source, tmp_path):
    return _copied(source, tmp_path / "target")


def _copied(source, target):
    target.mkdir()
    origin, made = (os.open(path, os.O_RDONLY) for path in (source, target))
    try:
        copy_tree(origin, made)
    finally:
        os.close(origin)
        os.close(made)
    return target


def _described(top) -> dict[bytes, tuple[object, ...]]:
    """All that a tar tells, and the places of holes; not what belongs to the inode alone."""
    told: dict[bytes, tuple[object, ...]] = {b"": _entry(os.fsencode(top), os.stat(top))}
    root = os.open(top, os.O_RDONLY)
    for found in walk(root):
        told[found.path] = _entry(os.path.join(os.fsencode(top), found.path), found.status)
    os.close(root)
    return told


def _entry(path: bytes, status: os.stat_result) -> tuple[object, ...]:
    body: object = None
    links = status.st_nlink if not stat.S_ISDIR(status.st_mode) else 0
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            body = file.read(), _holes(file.fileno(), status.st_size)
    elif stat.S_ISLNK(status.st_mode):
        body = os.readlink(path)
    xattrs = sorted(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in os.listxattr(path, follow_symlinks=False)
        if "overlay" not in name
    )
    owner = status.st_uid, status.st_gid
    return status.st_mode, *owner, status.st_rdev, status.st_mtime_ns, links, body, xattrs


def _holes(descriptor: int, size: int) -> list[int]:
    at, found = 0, []
    while at < size:
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            try:
                at = os.lseek(descriptor, at, whence)
            except OSError:
                return found
            found.append(at)
    return found


def test_a_copy_is_as_its_original(source, copied):
    assert _described(copied) == _described(source)


def test_names_of_one_file_stay_names_of_one_file(copied):
    assert os.path.samefile(copied / "folder" / "file", copied / "zz-second-name")


def test_what_belongs_to_the_host_stays_behind(copied):
    assert "trusted.overlay.opaque" not in os.listxattr(copied / "folder")


def test_sockets_stay_behind(source, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
    assert not os.path.lexists(_copied(source, tmp_path / "target") / "socket")


def test_gnu_tar_finds_no_difference(source, copied, needs_program):
    """An independent reader of owners, modes, times, links and attributes."""
    options = ["--sort=name", "--numeric-owner", "--acls", "--xattrs"]
    options += [f"--xattrs-include={name}" for name in ("user.*", "security.*", "trusted.of.*")]
    options += ["--format=posix", "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime"]

    def archive(path) -> bytes:
        command = [needs_program("tar"), *options, "-C", str(path), "-c", "."]
        return subprocess.run(command, check=True, capture_output=True).stdout

    assert archive(copied) == archive(source)


def test_nothing_is_inherited_from_where_the_copy_lies(source, tmp_path):
    """A store beneath a directory with a default ACL or the set-group-ID bit."""
    os.setxattr(tmp_path, "system.posix_acl_default", _ACL)
    os.chown(tmp_path, 0, 77)
    os.chmod(tmp_path, 0o2755)
    assert _described(_copied(source, tmp_path / "target")) == _described(source)


def test_the_callers_umask_does_not_matter(source, tmp_path):
    before = os.umask(0o077)
    try:
        target = _copied(source, tmp_path / "target")
    finally:
        os.umask(before)
    assert _described(target) == _described(source)


def test_across_file_systems(source, memory):
    """Nothing can be shared, and the calls that try are refused."""
    os.mkdir(f"{memory}/target")
    origin, made = os.open(source, os.O_RDONLY), os.open(f"{memory}/target", os.O_RDONLY)
    copy_tree(origin, made)
    os.close(origin)
    os.close(made)
    assert _described(f"{memory}/target") == _described(source)


def test_blocks_are_shared_where_the_file_system_can(file_system, needs_program):
    mounted = file_system("128M", needs_program("mkfs.btrfs"), "-q")
    with open(f"{mounted}/source", "wb") as file:
        file.write(os.urandom(40 << 20))
    with open(f"{mounted}/source", "rb") as source, open(f"{mounted}/target", "wb") as target:
        copy_file(source.fileno(), target.fileno(), (40 << 20) - 5)  # twice 40 MB do not fit
    with open(f"{mounted}/source", "rb") as source, open(f"{mounted}/target", "rb") as target:
        assert target.read() == source.read()[:-5]


def test_a_very_deep_tree(deep, memory, few_descriptors):
    os.mkdir(f"{memory}/copy")
    origin, made = os.open(deep, os.O_RDONLY), os.open(f"{memory}/copy", os.O_RDONLY)
    copy_tree(origin, made)
    paths = [(found.path, found.status.st_nlink) for found in walk(made) if not found.is_directory]
    assert [(path[-3:], links) for path, links in paths] == [(b"end", 2), (b"zz", 2)]
    os.close(origin)
    os.close(made)


def test_more_names_than_the_target_gives_to_one_file(tmp_path, monkeypatch):
    """Files on btrfs may have more names than on ext4; the copy starts another file."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "0").write_text("text")
    for number in range(1, 5):
        os.link(tmp_path / "source" / "0", tmp_path / "source" / str(number))
    link = os.link

    def limited(first, name, *, src_dir_fd, dst_dir_fd, follow_symlinks):
        if os.stat(first, dir_fd=src_dir_fd).st_nlink == 2:
            raise OSError(31, "Too many links")
        link(first, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)

    monkeypatch.setattr(os, "link", limited)
    target = _copied(tmp_path / "source", tmp_path / "target")
    assert {os.stat(target / str(number)).st_nlink for number in range(4)} == {2}
    assert (target / "4").read_text() == "text"


def test_a_range_may_end_before_it_was_said_to(tmp_path):
    (tmp_path / "short").write_bytes(b"abc")
    with open(tmp_path / "short", "rb") as source, open(tmp_path / "copy", "wb") as target:
        copy_range(source.fileno(), 1, target.fileno(), 4, 100)
    assert (tmp_path / "copy").read_bytes() == b"\0\0\0\0bc"


def test_files_that_pretend_to_be_empty(tmp_path):
    """Those of /proc have no size, and copy_file_range(2) finds nothing in them."""
    with open("/proc/self/status", "rb") as source, open(tmp_path / "copy", "wb") as target:
        copy_range(source.fileno(), 0, target.fileno(), 0, 20)
    assert (tmp_path / "copy").read_bytes().startswith(b"Name:")
