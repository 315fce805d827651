"""Archives that are not what they should be: one line, exit status 1, nothing left behind."""

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import Lamina, assert_complaint, nothing_left

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture(scope="module", params=["vfs", "overlay2"])
def store(request, tmp_path_factory):
    """A store for many tests on each driver: what leaves nothing behind disturbs no other."""
    made = Lamina(str(tmp_path_factory.mktemp(request.param)), request.param)
    made.ok("import", made.write("small.tar", SMALL), "small")
    made.ok("save", "-o", f"{made.folder}/saved.tar", "small")
    made.ok("rmi", "small")
    yield made
    assert made.ok("check", "--full") == "clean\n"


def member(name, kind=tarfile.REGTYPE, *, body=b"", link="", pax=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(body)
        info.pax_headers = pax or {}
        archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def header(kind, size):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]


NOISE = bytes(value * value // 7 % 256 for value in range(5000))
FILE = member("a", body=NOISE)
SMALL = tar_of("d d\nf d/a text")

IMPORTED = {
    "no tar": (b"no tar at all" * 100, "this is no tar"),
    "too short for a tar": (b"hi", "the tar is cut off"),
    "cut within a file": (FILE[:2000], "the member 'a': the tar is cut off within a file"),
    "cut within a header": (FILE[:300], "the tar is cut off"),
    "a wrong checksum": (flipped(SMALL, 0), "this is no tar: a header's checksum is wrong"),
    "a size that lies": (member("a", pax={"size": "99999"}), "'a': the tar is cut off"),
    "a size that is none": (member("a", pax={"size": "many"}), "a PAX size is no number"),
    "a header of a gigabyte": (header(b"x", 1 << 30), "an extended header claims 1073741824"),
    "a type nobody knows": (header(b"J", 0) + bytes(1024), "a type b'J' unknown here"),
    "gzip: no more than a beginning": (b"\x1f\x8b", "the gzip data is cut off"),
    "gzip: cut": (gzip.compress(FILE)[:-20], "the gzip data is cut off"),
    "gzip: a wrong CRC": (flipped(gzip.compress(SMALL), -8), "the gzip data is damaged"),
    "gzip: a flipped bit": (flipped(gzip.compress(FILE, 0), 3000), "the gzip data is damaged"),
    "bzip2: cut": (bz2.compress(FILE)[:-20], "the bzip2 data is cut off"),
    "bzip2: damaged": (flipped(bz2.compress(FILE), 1000), "the bzip2 data is damaged"),
    "xz: cut": (lzma.compress(FILE)[:-20], "the xz data is cut off"),
    "xz: damaged": (flipped(lzma.compress(FILE), 200), "the xz data is damaged"),
    "zstd: cut": (b"\x28\xb5\x2f\xfd" + bytes(50), "the zstd data is"),
    "unknown: zip": (b"PK\x03\x04" + bytes(1000), "this is zip, which Lamina does not read"),
    "unknown: compress": (b"\x1f\x9d\x90" + bytes(1000), "this is compress, which Lamina"),
    "unknown: lz4": (b"\x04\x22\x4d\x18" + bytes(1000), "this is lz4, which Lamina"),
    "unknown: lzip": (b"LZIP\x01" + bytes(1000), "this is lzip, which Lamina"),
    "a name that climbs": (tar_of("f ../../x 1"), "'../../x' climbs above the root"),
    "a name that climbs later": (tar_of("f a/../../x 1"), "climbs above the root"),
    "a name that holds NUL": (member("x", pax={"path": "a\0b"}), r"'a\x00b' holds a NUL byte"),
    "a name of 300 bytes": (tar_of(f"f {'n' * 300} 1"), "has a component of over 255 bytes"),
    "a target that holds NUL": (
        member("x", tarfile.SYMTYPE, link="y", pax={"linkpath": "a\0b"}),
        "holds a NUL byte",
    ),
    "the root is a file": (member(".", body=b"1"), "the root entry is no directory"),
    "the root is a link": (member("./", tarfile.SYMTYPE, link="/"), "the root entry is no dir"),
    "the root is a hard link": (member(".", tarfile.LNKTYPE, link="a"), "the root entry is no"),
    "the root is a FIFO": (member(".", tarfile.FIFOTYPE), "the root entry is no directory"),
    "a whiteout of nothing": (tar_of("f a/.wh. 1"), "the whiteout 'a/.wh.' names nothing"),
    "a whiteout of .": (tar_of("f a/.wh.. 1"), "the whiteout 'a/.wh..' names nothing"),
    "a whiteout of ..": (tar_of("f a/.wh... 1"), "the whiteout 'a/.wh...' names nothing"),
    "something beneath a whiteout": (tar_of("f .wh.a/b 1"), "lies beneath a whiteout"),
    "a hard link to nothing": (tar_of("h a -> b"), "a': its hard link target '"),
    "a hard link to a directory": (tar_of("d d\nh a -> d"), "target 'd' is a directory"),
    "a hard link to itself": (tar_of("f a 1\nh a -> a"), "'a': it is a hard link to itself"),
    "a hard link that climbs": (tar_of("h a -> ../etc/passwd"), "climbs above the root"),
    "a file on the way": (tar_of("f a 1\nf a/b 2"), "'a' is on the way to a member and no dir"),
    "links in a circle": (tar_of("l a -> b\nl b -> a\nf a/x 1"), "too many symbolic links"),
    "a device that is a whiteout": (tar_of("c x 0:0"), "would be taken for a whiteout"),
}


@pytest.mark.parametrize("name", IMPORTED)
def test_a_root_file_system_that_is_none(store, name):
    data, reason = IMPORTED[name]
    path = store.write("bad.tar", data)
    with nothing_left(store):
        said = store("import", path, "x")
        assert_complaint(said, path, reason)
        assert said.out == ""


def test_what_is_honest_though_it_looks_odd_stays_inside(store):
    """Absolute names lose their `/`, links on the way resolve inside, and `..` may be taken back."""
    outside = store.write("outside/x", "untouched")
    rows = ["d usr/lib", "l lib -> /usr/lib", "f lib/x 1", "h y -> /lib/x", "f a/../z 2"]
    climbing = f"l up -> {'../' * 40}{os.path.dirname(outside)}\nf up/x overwritten"
    data = tar_of("\n".join(rows) + "\n" + climbing)
    store.ok("import", store.write("odd.tar", data), "odd")
    store.ok("create", "--name", "odd", "odd", "true")
    found = tarfile.open(fileobj=io.BytesIO(_bytes_of(store, "export", "odd")))
    names = {each.name.removeprefix("./").rstrip("/"): each for each in found}
    assert {"usr/lib/x", "y", "z", "lib", "up"} <= set(names)
    assert names["lib"].linkname == "/usr/lib"
    with open(outside) as file:
        assert file.read() == "untouched"
    store.ok("rm", "odd")
    store.ok("rmi", "odd")


def _bytes_of(store, *words):
    return subprocess.run(
        store.command(*words), env=store.env, capture_output=True, check=True
    ).stdout


def test_an_archive_from_standard_input_has_no_name(store):
    with nothing_left(store):
        assert_complaint(store("import", "-", stdin=FILE[:2000]), "lamina: the member 'a': the tar")


def test_a_directory_is_no_archive(store):
    with nothing_left(store):
        assert_complaint(store("import", store.folder), "this is a directory; make a tar of it")


# --- images -------------------------------------------------------------------------------


def saved(store):
    with open(f"{store.folder}/saved.tar", "rb") as file:
        return file.read()


LOADED = {
    "a layer of the wrong digest": (lambda data: data.replace(b"text", b"tExt"), "not sha256:"),
    "cut": (lambda data: data[: len(data) // 2], "the tar is cut off"),
    "gzip, cut": (lambda data: gzip.compress(data)[:-30], "the gzip data is cut off"),
    "no tar": (lambda data: b"no tar" * 200, "this is no tar"),
    "empty": (lambda data: b"", "this is neither a docker archive nor an OCI layout"),
    "a root file system": (lambda data: SMALL, "is taken by `lamina import`"),
    "unknown compression": (lambda data: b"PK\x03\x04" + bytes(600), "this is zip"),
    "no config": (lambda data: data.replace(b'[{"Config"', b'[{"Konfig"'), "without a Config"),
    "no JSON": (lambda data: data.replace(b'[{"Config"', b'[{"Config\n'), "manifest.json"),
}


@pytest.mark.parametrize("name", LOADED)
def test_an_image_archive_that_is_none(store, name):
    change, reason = LOADED[name]
    path = store.write("bad-images.tar", change(saved(store)))
    with nothing_left(store):
        assert_complaint(store("load", "-i", path), path, reason)


@pytest.mark.parametrize("what", ["flipped", "shorter", "missing"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_layout_with_a_bad_blob(store, what, which, needs_program):
    layout = f"{store.folder}/layout"
    shutil.rmtree(layout, ignore_errors=True)
    source, target = f"docker-archive:{store.folder}/saved.tar", f"oci:{layout}:x"
    subprocess.run([needs_program("skopeo"), "copy", "-q", source, target], check=True)
    folder = f"{layout}/blobs/sha256"
    path = f"{folder}/{sorted(os.listdir(folder), key=lambda name: os.stat(f'{folder}/{name}').st_size)[which]}"
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    if what != "missing":
        store.write(path, flipped(data, -1) if what == "flipped" else data[:-1])
    with nothing_left(store):
        assert_complaint(store("load", "-i", layout), layout)


def test_an_archive_that_climbs_reads_nothing_outside(store):
    secret = store.write("secret", b'{"rootfs":{"type":"layers","diff_ids":[]}}')
    rows = [{"Config": f"../../../{secret}", "RepoTags": ["x:1"], "Layers": []}]
    data = member("manifest.json", body=json.dumps(rows).encode())
    with nothing_left(store):
        assert_complaint(store("load", stdin=data), "climbs above the root")


# --- archives in builds -------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/", "/x/"])
@pytest.mark.parametrize("name", ["gzip: cut", "a name that climbs", "a hard link to nothing"])
def test_add_of_a_bad_archive_names_the_line(store, name, target):
    data, reason = IMPORTED[name]
    store.write("context/bad.tar", data)
    store.write("context/Dockerfile", f"FROM scratch\nADD bad.tar {target}\n")
    with nothing_left(store):
        said = store("build", "-t", "x", f"{store.folder}/context")
        assert_complaint(said, "lamina: Dockerfile:2: ", reason)
