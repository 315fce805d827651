"""Properties of the layer tar: what is written is read, what is applied and diffed is the same."""

import io
import os
import random
import shutil
import subprocess
import tarfile
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.archive import pax
from lamina.archive.apply import FLAT, OVERLAY, apply
from lamina.archive.diff import changed_entries, tree_changes, upper_changes
from lamina.archive.entry import DIR, FILE, SYMLINK, Entry
from lamina.archive.making import write_file
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.errors import BadArchive
from lamina.fs.mounting import MountPlan, Overlay, attach, in_private_namespace
from lamina.fs.tree import FlatTree, StackedTree
from lamina.testing.trees import describe, tar_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
SLOW = settings(
    max_examples=int(os.environ.get("LAMINA_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

components = st.binary(min_size=1, max_size=120).filter(
    lambda name: (
        name not in (b".", b"..")
        and b"/" not in name
        and b"\0" not in name
        and not name.startswith(b".wh.")
    )
)
names = st.lists(components, min_size=1, max_size=6).map(b"/".join)


def entry(**fields):
    """An entry of these fields alone: hypothesis would draw the others, too."""
    return Entry(**fields)


entries = st.builds(
    entry,
    name=names,
    kind=st.sampled_from([FILE, DIR, SYMLINK]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**31),
    gid=st.integers(0, 2**31),
    mtime_ns=st.integers(-(2**58), 2**60),
    link=st.just(b""),
    xattrs=st.dictionaries(
        st.one_of(
            st.binary(min_size=1, max_size=30).filter(lambda key: b"\0" not in key),
            st.text("%=235D", min_size=1, max_size=12).map(str.encode),
        ),
        st.binary(max_size=100),
        max_size=3,
    ).map(lambda pairs: tuple(sorted(pairs.items()))),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(entries, max_size=8))
def test_what_is_written_is_read(members):
    members = [each._replace(link=b"target" if each.kind == SYMLINK else b"") for each in members]
    out = io.BytesIO()
    write(iter([(each, None) for each in members]), out.write)
    again = [segment.entry for segment in read(io.BytesIO(out.getvalue())) if segment.entry]
    assert again == members
    assert len(out.getvalue()) % 512 == 0


@st.composite
def maps(draw):
    """The regions of a file with holes, and its size."""
    numbers = draw(st.lists(st.integers(1, 3000), max_size=40))
    regions, at = [], draw(st.sampled_from([0, 700]))
    for gap, length in zip(numbers[::2], numbers[1::2], strict=False):
        regions.append((at, length))
        at += gap + length
    end = sum(regions[-1]) if regions else 0
    return tuple(regions), draw(st.sampled_from([end, end + 5000]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(names, maps()), min_size=1, max_size=4))
def test_files_with_holes_are_read_as_they_were_written_by_us_and_by_python(wanted):
    with tempfile.TemporaryFile() as content, tempfile.TemporaryDirectory() as folder:
        content.write(random.Random(0).randbytes(1 << 17))
        out = io.BytesIO()
        members = [
            Entry(b"%d/" % number + name, FILE, 0o644, size=size, sparse=regions)
            for number, (name, (regions, size)) in enumerate(wanted)
        ]
        write(iter([(each, lambda: dup(content)) for each in members]), out.write)
        directory = os.open(folder, _DIRECTORY)
        try:
            for number, segment in enumerate(read(io.BytesIO(out.getvalue()))):
                if segment.entry is not None:
                    assert segment.entry == members[number]
                    write_file(directory, b"%d" % number, segment.entry, segment.body)
        finally:
            os.close(directory)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
            for number, info in enumerate(archive):
                with open(f"{folder}/{number}", "rb") as made:
                    again = made.read()
                    assert (
                        archive.extractfile(info).read()
                        == again
                        == filled(content, wanted[number][1])
                    )


def dup(file):
    """A descriptor of its own on an open file."""
    return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)


def filled(content, holed):
    regions, size = holed
    whole = bytearray(size)
    for offset, length in regions:
        whole[offset : offset + length] = os.pread(content.fileno(), length, offset)
    return bytes(whole)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000))
def test_random_bytes_are_refused_or_read_but_never_break(data):
    try:
        for segment in read(io.BytesIO(data)):
            while segment.body.read(4096):
                pass
    except BadArchive:
        pass


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_tar_is_refused_or_read_but_never_breaks(data):
    tar = bytearray(tar_of("d a\nf a/b text\nl c -> a\nf " + "n" * 150 + " x\nw a/b"))
    for _ in range(data.draw(st.integers(1, 6))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    try:
        total = 0
        for segment in read(io.BytesIO(bytes(tar))):
            total += len(segment.raw)
            while piece := segment.body.read(4096):
                total += len(piece)
        assert total == len(tar)
    except BadArchive:
        pass


@given(st.lists(st.tuples(st.binary(min_size=1).filter(lambda k: b"=" not in k), st.binary())))
def test_pax_records_come_back(records):
    assert pax.parse(pax.build(records)) == records


@pytest.mark.parametrize("name", ["user.a=b", "user.%3D", "user.%25=%253D", "user.100%"])
def test_gnu_tar_reads_and_writes_the_same_attribute_names(name, tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    (tmp_path / "here" / "f").touch()
    try:
        os.setxattr(tmp_path / "here" / "f", name, b"value")
    except OSError as error:
        pytest.skip(f"user attributes: {error.strerror}")
    tar = ["tar", "--xattrs", "-C"]
    subprocess.run([*tar, tmp_path / "here", "-cf", tmp_path / "t", "f"], check=True)
    with open(tmp_path / "t", "rb") as file:
        (member,) = [segment.entry for segment in read(file) if segment.entry]
    assert member.xattrs == ((os.fsencode(name), b"value"),)
    with open(tmp_path / "t", "wb") as file:
        write(iter([(member, None)]), file.write)
    subprocess.run([*tar, tmp_path / "there", "-xf", tmp_path / "t"], check=True)
    assert os.listxattr(tmp_path / "there" / "f") == [name]


@given(st.integers(-(2**59), 2**59))
def test_times_come_back(time):
    assert pax.time_ns(pax.format_time(time)) == time


paths = st.sampled_from(["a", "b", "c", "a/x", "a/y", "b/x", "b/y/z", "c/x", "a/x/q"])
lines = st.one_of(
    st.builds(lambda path, text: f"f {path} {text}", paths, st.sampled_from("0123")),
    st.builds(lambda path, mode: f"d {path} {mode}", paths, st.sampled_from(["755", "700"])),
    st.builds(
        lambda path, to: f"l {path} -> {to}", paths, st.sampled_from(["a", "/b", "../c", "nowhere"])
    ),
    st.builds(lambda path: f"w {path}", paths),
    st.builds(lambda path: f"o {path}", st.sampled_from(["a", "b", "."])),
)
layers = st.lists(st.lists(lines, max_size=7).map("\n".join), min_size=1, max_size=4)


def applied(root, tar, **options):
    descriptor = os.open(root, _DIRECTORY)
    try:
        apply(descriptor, read(io.BytesIO(tar)), **options)
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("needs_root", "needs_mounts")
@SLOW
@given(layers)
def test_flat_and_overlay_give_one_tree_or_both_refuse(texts):
    """The differential heart: layers applied onto one root, and stacked by the kernel."""
    folder = tempfile.mkdtemp()
    try:
        flat, stacked = _both_ways(folder, texts)
        assert flat == stacked
    finally:
        shutil.rmtree(folder)


def _both_ways(folder, texts):
    flat = f"{folder}/flat"
    os.mkdir(flat)
    uppers = []
    refused = []
    for number, text in enumerate(texts):
        tar = tar_of(text)
        upper = f"{folder}/{number}"
        os.mkdir(upper)
        outcomes = []
        lower = StackedTree([os.open(each, _DIRECTORY) for each in reversed(uppers)])
        for root, form in ((flat, FLAT), (upper, OVERLAY)):
            try:
                applied(root, tar, lower=lower, form=form)
                outcomes.append("applied")
            except BadArchive:
                outcomes.append("refused")
        lower.close()
        assert outcomes[0] == outcomes[1], (text, outcomes)
        if outcomes[0] == "refused":
            return refused, refused
        uppers.append(upper)
    os.mkdir(f"{folder}/m")
    os.mkdir(f"{folder}/u")
    os.mkdir(f"{folder}/w")

    def look():
        plan = MountPlan(Overlay(tuple(reversed(uppers)), f"{folder}/u", f"{folder}/w", ()))
        attach(plan, f"{folder}/m")
        return describe(f"{folder}/m")

    return describe(flat), in_private_namespace(look)


@pytest.mark.usefixtures("needs_root", "needs_mounts")
@SLOW
@given(layers, layers)
def test_a_diff_applied_gives_the_new_tree_and_both_engines_agree(before, after):
    folder = tempfile.mkdtemp()
    try:
        _diff_round(folder, before, after)
    finally:
        shutil.rmtree(folder)


def _diff_round(folder, before, after):
    for name in ("old", "new", "again", "u", "w", "m"):
        os.mkdir(f"{folder}/{name}")
    for text in before:
        for name in ("old", "again"):
            _try(f"{folder}/{name}", text)

    def change():
        plan = MountPlan(Overlay((f"{folder}/old",), f"{folder}/u", f"{folder}/w", ()))
        attach(plan, f"{folder}/m")
        for text in after:
            _try(f"{folder}/m", text)
        os.rmdir(f"{folder}/new")
        shutil.copytree(f"{folder}/m", f"{folder}/new", symlinks=True)
        return describe(f"{folder}/m")

    wanted = in_private_namespace(change)
    old = FlatTree(os.open(f"{folder}/old", _DIRECTORY))
    new = FlatTree(os.open(f"{folder}/new", _DIRECTORY))
    merged = StackedTree([os.open(f"{folder}/{each}", _DIRECTORY) for each in ("u", "old")])
    upper = os.open(f"{folder}/u", _DIRECTORY)
    native = list(upper_changes(upper, old))
    naive = list(tree_changes(merged, old, suspicious=lambda status: True))
    assert native == naive
    assert [change.path for change in native] == sorted(
        (change.path for change in native), key=lambda path: path.split(b"/")
    )
    out = io.BytesIO()
    write(changed_entries(native, merged), out.write)
    _try_tar(f"{folder}/again", out.getvalue())
    assert describe(f"{folder}/again") == wanted
    for tree in (old, new, merged):
        tree.close()
    os.close(upper)


def _try(root, text):
    try:
        applied(root, tar_of(text))
    except BadArchive:
        pass  # a file on the way: the rest of this layer is left out on every side alike


def _try_tar(root, tar):
    applied(root, tar)
