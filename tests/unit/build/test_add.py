"""ADD of local archives: rule 55 of the builder's reference."""

import bz2
import gzip
import io
import lzma
import mmap
import os
import tarfile
from collections import deque

import pytest

from lamina.archive.reader import read
from lamina.build import copy
from lamina.build.add import Rewritten, WholeArchive, is_archive
from lamina.build.contentdigest import content_of
from lamina.build.copy import Manner
from lamina.build.selection import Wanted, select
from lamina.build.statcache import StatCache
from lamina.errors import BadArchive, BuildError, UsageError
from lamina.testing.trees import tar_of
from lamina.values.digest import DiffID

NOW = 1_700_000_000 * 10**9
PLAIN = Manner(None, None, NOW, None)
TAR = tar_of('d sub 700 1:2\nf sub/a "text" 640 3:4\nh sub/b -> sub/a\nl l -> /etc\nf x/y "y"\n')


def zstandard(data):
    if zstd := _zstd():
        return zstd.compress(data)
    pytest.skip("no zstd here")


def _zstd():
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return None
    return zstd


@pytest.fixture
def with_files(context, tmp_path):
    def make(**files):
        tree = context("")
        for name, data in files.items():
            (tmp_path / "context" / name).write_bytes(data)
        return tree

    return make


def chosen(tree, *sources):
    return select(tree, Wanted(sources))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard], ids=lambda f: f.__name__
)
def test_archives_are_told_by_content(with_files, pack):
    tree = with_files(innocent=pack(TAR))
    (source,) = chosen(tree, "innocent")
    assert is_archive(tree, source)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"text" * 1000,
        bytes(10240),
        gzip.compress(b"text" * 1000, mtime=0),
        gzip.compress(b"", mtime=0),
        gzip.compress(TAR, mtime=0)[:20],
        b"PK\x03\x04 a zip",
        b"\x1f\x8b broken at once",
        TAR[:511],
    ],
)
def test_what_is_no_archive_is_a_file_whatever_its_name(with_files, data):
    tree = with_files(**{"rootfs.tar.gz": data})
    (source,) = chosen(tree, "rootfs.tar.gz")
    assert not is_archive(tree, source)


def test_a_directory_is_no_archive(context):
    tree = context("d d\n")
    (source,) = chosen(tree, "d")
    assert not is_archive(tree, source)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_whole_archive_is_the_layer_byte_for_byte(with_files, pack):
    tree = with_files(t=pack(TAR))
    source = WholeArchive(tree, chosen(tree, "t")[0])
    raw = b""
    for segment in source.segments():
        raw += segment.raw
        while data := segment.body.read(100):
            raw += data
    assert raw == TAR
    assert source.diff_id() == DiffID.of(TAR)


def test_a_cut_archive(with_files):
    tree = with_files(t=gzip.compress(TAR, mtime=0)[:-20])
    with pytest.raises(BadArchive, match="cut off"):
        list(WholeArchive(tree, chosen(tree, "t")[0]).segments())


def damaged(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        damaged(gzip.compress(TAR, mtime=0), -6),
        damaged(bz2.compress(TAR), -6),
        damaged(lzma.compress(TAR, check=lzma.CHECK_CRC32), -32),
    ],
    ids=["gzip", "bzip2", "xz"],
)
def test_an_archive_that_is_damaged_behind_its_first_header_is_no_file(with_files, data):
    """It went into the image as a file, and nobody was told, where one read gave all of it."""
    tree = with_files(t=data)
    (source,) = chosen(tree, "t")
    assert is_archive(tree, source)
    with pytest.raises(BadArchive, match="damaged"):
        list(WholeArchive(tree, source).segments())


@pytest.mark.parametrize("name", [".wh.a", "d/.wh.a", "d/.wh..wh..opq", ".wh..wh.plnk"])
def test_names_that_mean_deletions_are_refused(with_files, stage, name):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        made.addfile(tarfile.TarInfo(name))
    tree = with_files(t=archive.getvalue())
    with pytest.raises(BuildError, match="cannot be part of a layer"):
        list(WholeArchive(tree, chosen(tree, "t")[0]).segments())
    with pytest.raises(BuildError, match="cannot be part of a layer"):
        rewritten(tree, stage(""), "/x", "t")


def rewritten(tree, view, to, *sources, manner=PLAIN):
    """The entries, with contents, of the tar that an ADD makes; checks its own digest."""
    selected = chosen(tree, *sources)
    archives = frozenset(n for n, each in enumerate(selected) if is_archive(tree, each))
    where = copy.destination(view, to, selected, unpacks=bool(archives))
    source = Rewritten(tree, view, selected, where, manner, archives=archives)
    raw = b""
    for segment in source.segments():
        raw += segment.raw
        while data := segment.body.read(1000):
            raw += data
    assert source.diff_id() == DiffID.of(raw)
    return [(each.entry, whole(each.body)) for each in read(io.BytesIO(raw)) if each.entry]


def whole(body):
    return b"".join(iter(lambda: body.read(4096), b""))


def names(found):
    return [entry.name.decode() for entry, _ in found]


def test_an_archive_below_the_root(with_files, stage):
    found = rewritten(with_files(t=TAR), stage("d opt 711 9:9\n"), "/opt/new", "t")
    assert names(found) == [
        "opt",
        "opt/new",
        "opt/new/sub",
        "opt/new/sub/a",
        "opt/new/sub/b",
        "opt/new/l",
        "opt/new/x/y",
    ]
    by_name = {entry.name: (entry, data) for entry, data in found}
    assert by_name[b"opt"][0].mode == 0o711
    entry, data = by_name[b"opt/new/sub/a"]
    assert (entry.mode, entry.uid, entry.gid, data) == (0o640, 3, 4, b"text")
    assert by_name[b"opt/new/sub/b"][0].link == b"opt/new/sub/a"
    assert by_name[b"opt/new/l"][0].link == b"/etc"


def test_chown_changes_what_is_unpacked(with_files, stage):
    manner = PLAIN._replace(owner=(7, 8))
    found = rewritten(with_files(t=TAR), stage(""), "/x", "t", manner=manner)
    assert {(entry.uid, entry.gid) for entry, _ in found} == {(7, 8)}


def test_times_are_clamped(with_files, stage):
    manner = PLAIN._replace(clamp_ns=5 * 10**9)
    found = rewritten(with_files(t=TAR), stage(""), "/", "t", manner=manner)
    assert {entry.mtime_ns for entry, _ in found} == {5 * 10**9}


def test_archives_and_files_in_their_order(with_files, stage):
    tree = with_files(first=b"1", t=TAR, z=b"last")
    found = rewritten(tree, stage(""), "/x/", "first", "t", "z")
    assert names(found)[:3] == ["x", "x/first", "x/sub"]
    assert names(found)[-1] == "x/z"
    assert names(found).count("x") == 1


def test_an_archive_onto_a_file(with_files, stage):
    with pytest.raises(UsageError, match="is a file in the image"):
        rewritten(with_files(t=TAR), stage('f x "x"\n'), "/x", "t")


def test_the_archives_own_root_is_the_destination(with_files, stage):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        root = tarfile.TarInfo("./")
        root.type, root.mode = tarfile.DIRTYPE, 0o711
        made.addfile(root)
    found = rewritten(with_files(t=archive.getvalue()), stage(""), "/x", "t")
    assert [(entry.name, entry.mode) for entry, _ in found] == [(b"x", 0o755), (b"x", 0o711)]


def test_names_that_climb(with_files, stage):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        made.addfile(tarfile.TarInfo("../../etc/passwd"))
    with pytest.raises(BadArchive, match="climbs above the root"):
        rewritten(with_files(t=archive.getvalue()), stage(""), "/x", "t")


def test_a_sparse_member_is_filled(with_files, stage, tmp_path, needs_program):
    program = needs_program("tar")
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"start")
        file.seek(1 << 20)
        file.write(b"end")
    out = tmp_path / "t.tar"
    status = os.spawnv(
        os.P_WAIT, program, [program, "-C", str(tmp_path), "-S", "-cf", str(out), "sparse"]
    )
    assert status == 0
    tree = with_files(t=out.read_bytes())
    ((_, _), (entry, data)) = rewritten(tree, stage(""), "/x", "t")
    assert entry.size == (1 << 20) + 3
    assert data == path.read_bytes()


@pytest.mark.parametrize(("pack", "at"), [(bytes, -1), (gzip.compress, 4)], ids=["tar", "gzip"])
@pytest.mark.parametrize("destination", ["/", "/x"])
def test_an_archive_that_is_no_longer_what_was_digested(
    with_files, stage, tmp_path, pack, at, destination
):
    """Nothing tells it but its bytes: somebody wrote to its memory."""
    tree = with_files(t=pack(TAR))
    with open(tmp_path / "context" / "t", "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    memory[at] = memory[at]
    selected = chosen(tree, "t")
    seen = content_of(tree, selected, StatCache(None)).seen
    selected = [source.expect(each) for source, each in zip(selected, seen, strict=True)]
    memory[at] ^= 1
    if destination == "/":
        source = WholeArchive(tree, selected[0])
    else:
        view = stage("")
        to = copy.destination(view, destination, selected, unpacks=True)
        source = Rewritten(tree, view, selected, to, PLAIN, archives=frozenset([0]))
    with pytest.raises(BuildError, match="'t' changed while it was read"):
        deque(whole(segment.body) for segment in source.segments())
