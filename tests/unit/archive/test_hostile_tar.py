"""Tars that somebody made to break the reader, and honest ones that look like them."""

import io
import os

import pytest

from lamina.archive import header, pax
from lamina.archive.sparse import from_body
from lamina.errors import BadArchive
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of

END = bytes(1024)
DEEP = "/".join(["d"] * 450)  # more levels than directories are kept open
CROWD = "\n".join(f"d other{number}" for number in range(250))
ACL = bytes.fromhex("0200000001000700ffffffff04000500ffffffff20000500ffffffff")


@pytest.fixture(params=["overlay2", "vfs"])
def store(request, tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"), request.param)
    yield made
    made.close()


def block(name, typeflag=b"0", size=0, **fields):
    filled = {"mode": 0o644, "uid": 0, "gid": 0, "mtime": 0, "link": b"", **fields}
    return header.build(
        name=name, prefix=b"", size=size, typeflag=typeflag, devmajor=0, devminor=0, **filled
    )


def pax_of(records, typeflag=b"x"):
    data = pax.build(records)
    return block(b"pax", typeflag, len(data)) + data + bytes(-len(data) % 512)


def sparse(name, size):
    """A file of one hole."""
    described = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", name),
        (b"GNU.sparse.realsize", b"%d" % size),
    ]
    return pax_of(described) + block(b"x", size=512) + b"0\n".ljust(512, b"\0")


def in_base_256(made, start, end, value):
    """The block with another number in one field, and a checksum that is right again."""
    raw = bytearray(made)
    raw[start:end] = value.to_bytes(end - start, "big", signed=True)
    raw[start] |= 0x80
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def register(store, tar, below=None):
    return store.layers.register(below, io.BytesIO(tar)).chain_id


def exported(store, chain):
    out = io.BytesIO()
    store.layers.export(chain, out.write)
    return out.getvalue()


@pytest.mark.parametrize(
    "tar",
    [
        pax_of([(b"mtime", b"1099511627775")]) + block(b"a"),
        pax_of([(b"mtime", b"99999999999999999999")]) + block(b"a"),
        pax_of([(b"mtime", b"-1099511627775.5")]) + block(b"a"),
        in_base_256(block(b"a"), 136, 148, 1 << 61),
        pax_of([(b"uid", b""), (b"path", b"")]) + block(b"a"),
        pax_of([(b"uid", b"7")], b"g") + pax_of([(b"uid", b"")], b"g") + block(b"a"),
    ],
    ids=["year 36812", "twenty digits", "before", "base 256", "empty", "taken back"],
)
def test_odd_numbers_are_no_obstacle(store, tar):
    chain = register(store, tar + END)
    assert exported(store, chain) == tar + END
    view = store.layers.view(chain)
    assert view.lstat(b"a").st_uid == 0
    view.close()


@pytest.mark.parametrize(
    "tar",
    [
        pax_of([(b"uid", b"9" * 20)]) + block(b".wh.a"),
        pax_of([(b"SCHILY.devmajor", b"9" * 20)]) + block(b"a"),
        pax_of([(b"SCHILY.xattr.user.a\0b", b"v")]) + block(b"a"),
        pax_of([(b"SCHILY.xattr.security.selinux", bytes(65537))]) + block(b"a"),
        pax_of([(b"k%d" % each, b"v") for each in range(300)], b"g") + block(b"a"),
        pax_of([(b"path", b"a/" * 40_000)]) + block(b"a"),
    ],
    ids=["whiteout's owner", "device", "NUL attribute", "huge attribute", "globals", "levels"],
)
def test_what_nothing_can_hold_is_refused_in_a_sentence(store, tar):
    with pytest.raises(BadArchive):
        register(store, tar + END)
    assert store.files() == []


def test_sizes_that_add_up_to_no_number(store):
    """Each is a size that file systems take; thousands of such layers would be past 2^63."""
    files = b"".join(sparse(b"f%d" % each, 1 << 43) for each in range(129))
    with pytest.raises(BadArchive, match="pebibyte"):
        register(store, files + END)


def test_a_map_that_never_ends_its_number_is_not_read_to_its_end():
    """A few bytes of gzip are gigabytes of it."""
    asked = []

    def digits(count):
        asked.append(count)
        return b"1" * count

    with pytest.raises(BadArchive, match="list of numbers"):
        from_body(digits, 1 << 40, 1)
    assert len(asked) < 5


def test_a_destroyed_file_of_holes_takes_no_room(store):
    """What is kept of it for the export would otherwise be a gigabyte of zeros."""
    tar = sparse(b"f", 1 << 30) + block(b"f") + END
    chain = register(store, tar)
    assert exported(store, chain) == tar
    folder = store.root.folder("index")
    taken = sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder))
    assert taken < 1 << 20


@pytest.mark.parametrize("target", ["/var/data/", "var//data", "./var/./data/."])
def test_a_link_to_nothing_yet_is_honest_however_it_is_spelled(store, target):
    base = register(store, tar_of(f"l data -> {target}"))
    top = register(store, tar_of("f data/x hi"), base)
    view = store.layers.view(top)
    assert view.lstat(b"var/data/x").st_size == 2
    view.close()


@pytest.mark.parametrize(
    "late", [f"f {DEEP}/n/x 1", f"d {DEEP}/w", f"w {DEEP}/w", f"h z -> {DEEP}/q"]
)
def test_deep_below_what_was_closed_meanwhile(store, late):
    base = register(store, tar_of(f"d {DEEP}/w"))
    text = f"f {DEEP}/q 1\nf {DEEP}/w 1\n{CROWD}\n{late}"
    assert register(store, tar_of(text), base)


def test_a_member_without_a_default_acl_takes_the_old_one_away(store):
    described = pax_of([(b"SCHILY.xattr.system.posix_acl_default", ACL)])
    base = register(store, described + block(b"a/", b"5", mode=0o755) + END)
    top = register(store, tar_of("d a 750"), base)
    view = store.layers.view(top)
    assert view.xattrs(b"a") == ()
    view.close()


def test_nothing_goes_through_a_link_that_a_file_hid(store):
    """Its folder is no directory any more, though the link below was followed before."""
    base = register(store, tar_of("d d\nd x\nl d/l -> /x"))
    with pytest.raises(BadArchive):
        register(store, tar_of("f d/l/one 1\nw d\nf d 1\nf d/l/two 2"), base)


def test_a_layer_that_lands_elsewhere_over_another_base_is_exported_too(store):
    """Over a linked lib/ one file destroys the other; over a real one both are there."""
    layer = tar_of("f lib/x AAA\nf usr/lib/x BBBB")
    turned = tar_of("f usr/lib/x BBBB\nf lib/x AAA")
    plain = register(store, tar_of("d lib\nd usr\nd usr/lib"))
    linked = register(store, tar_of("d usr\nd usr/lib\nl lib -> usr/lib"))
    for tar in (layer, turned):
        for below in ((plain, linked), (linked, plain))[tar is turned]:
            assert exported(store, register(store, tar, below)) == tar
        assert exported(store, register(store, tar, plain)) == tar
