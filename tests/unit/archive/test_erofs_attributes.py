"""An image's attributes beside those that the kernel sets and reads back on a disk."""

import os
import stat
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lamina.archive.entry import DIR, FIFO, FILE, SYMLINK, Entry
from lamina.archive.erofs import format as erofs
from lamina.archive.erofs.attributes import encoded
from lamina.archive.making import finish_file, make_node, make_symlink, open_new, settle

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
KINDS = {FILE: stat.S_IFREG, DIR: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, FIFO: stat.S_IFIFO}


def acl(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *each) for each in entries)


entries = st.tuples(
    st.sampled_from([1, 2, 4, 8, 0x10, 0x20]), st.integers(0, 8), st.sampled_from([0, 7, 2**32 - 1])
)
proper = st.lists(
    st.tuples(st.sampled_from([2, 8]), st.integers(0, 7), st.integers(0, 9)), max_size=3
).map(
    lambda named: acl(
        *sorted(
            [(1, 6, 0), (4, 5, 0), (0x10, 7, 0), (0x20, 1, 0), *named], key=lambda each: each[0]
        )
    )
)
values = st.one_of(
    proper,
    st.lists(entries, max_size=5).map(lambda each: acl(*each)),
    st.binary(max_size=30),
)
FULL = acl((1, 7, 0), (2, 6, 5), (4, 5, 0), (0x10, 7, 0), (0x20, 0, 0))


@settings(
    max_examples=int(os.environ.get("LAMINA_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from([ACCESS, DEFAULT, b"security.capability", b"user.a", b"trusted.a"]),
    values,
    st.sampled_from(list(KINDS)),
    st.integers(0, 0o777),
)
@example(ACCESS, FULL, FILE, 0o640)
@example(ACCESS, FULL, SYMLINK, 0o777)
@example(DEFAULT, FULL, DIR, 0o700)
@example(DEFAULT, FULL, FILE, 0o700)
@example(ACCESS, acl((1, 7, 0), (4, 5, 0), (0x20, 0, 0)), DIR, 0o700)
@example(ACCESS, acl(), FILE, 0o600)
@example(
    b"security.capability", bytes.fromhex("0100000200040000000000000000000000000000"), FILE, 0o755
)
@example(b"security.capability", b"\x01\0\0\x02", FILE, 0o755)
@example(b"user.", b"", FILE, 0o755)
@example(b"bogus", b"", FILE, 0o755)
@example(b"user.a", b"", SYMLINK, 0o777)
def test_what_the_kernel_keeps(name, value, kind, mode):
    entry = Entry(b"x", kind, mode, xattrs=((name, value),), link=b"t" if kind == SYMLINK else b"")
    outcomes = []
    for made in (lambda: on_disk(entry), lambda: in_an_image(entry)):
        try:
            outcomes.append(made())
        except OSError as error:
            outcomes.append(os.strerror(error.errno))
    assert outcomes[0] == outcomes[1]


def in_an_image(entry: Entry) -> dict[bytes, bytes]:
    """The attributes that an image would have."""
    got = encoded(entry.xattrs, KINDS[entry.kind], entry.mode)
    return dict(erofs.unpack_xattrs(erofs.xattr_body(got)) if got else ())


def on_disk(entry: Entry) -> dict[bytes, bytes]:
    """The attributes of the member, made as extraction makes it."""
    with tempfile.TemporaryDirectory() as folder:
        return made_in(Path(folder), entry)


def made_in(folder: Path, entry: Entry) -> dict[bytes, bytes]:
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if entry.kind == FILE:
            made = open_new(at, b"x", entry)
            finish_file(made, entry)
            os.close(made)
        elif entry.kind == DIR:
            os.mkdir(b"x", 0o700, dir_fd=at)
            made = os.open(b"x", os.O_RDONLY, dir_fd=at)
            settle(made, entry, os.fstat(made))
            os.close(made)
        elif entry.kind == SYMLINK:
            make_symlink(at, b"x", entry)
        else:
            make_node(at, b"x", entry)
    finally:
        os.close(at)
    path = os.fsencode(folder / "x")
    return {
        os.fsencode(each): os.getxattr(path, each, follow_symlinks=False)
        for each in os.listxattr(path, follow_symlinks=False)
    }
