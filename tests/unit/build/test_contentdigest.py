"""What the content digest of a COPY counts and what it does not."""

import hashlib
import mmap
import os
from contextlib import contextmanager

import pytest

from lamina.archive import writer
from lamina.archive.entry import Held
from lamina.build import copy
from lamina.build.contentdigest import content_of
from lamina.build.selection import Inline, Wanted, select
from lamina.build.statcache import StatCache
from lamina.errors import BuildError

TREE = 'd d\nf d/a "text" 644\nf d/b "b"\nl d/l -> a\n'


def digest(tree, *sources, cache=None, **flags):
    selected = select(tree, Wanted(sources or ("d",), **flags))
    return content_of(tree, selected, cache or StatCache(None)).digest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "context" / "d"


def touch(path):
    os.utime(path / "a", ns=(5, 5))
    os.utime(path, ns=(5, 5))


def chown(path):
    os.chown(path / "a", 1234, 1234)


def top_mode(path):
    os.chmod(path, 0o700)


def link(path):
    os.link(path / "a", path.parent / "elsewhere")


@pytest.mark.parametrize("change", [touch, chown, top_mode, link])
def test_not_counted(context, path, change):
    tree = context(TREE)
    before = digest(tree)
    change(path)
    assert digest(tree) == before


def content(path):
    (path / "a").write_text("TEXT")


def longer(path):
    (path / "a").write_text("text\0")


def mode(path):
    os.chmod(path / "a", 0o755)


def more(path):
    (path / "c").write_text("")


def less(path):
    (path / "b").unlink()


def renamed(path):
    os.rename(path / "b", path / "c")


def target(path):
    os.unlink(path / "l")
    os.symlink("b", path / "l")


def kind(path):
    os.unlink(path / "l")
    (path / "l").write_text("a")


def nested(path):
    os.mkdir(path / "e")


@pytest.mark.parametrize(
    "change", [content, longer, mode, more, less, renamed, target, kind, nested]
)
def test_counted(context, path, change):
    tree = context(TREE)
    before = digest(tree)
    change(path)
    assert digest(tree) != before


def test_no_bytes_pass_for_attributes(context, path):
    """A file may hold what is hashed of another one's attributes and bytes."""
    tree = context(TREE)
    counted = b"6:1:user.xv"
    plain = b"c" * (len(counted) + 33)
    (path / "a").write_bytes(plain)
    os.setxattr(path / "a", "user.x", b"v")
    before = digest(tree)
    os.removexattr(path / "a", "user.x")
    (path / "a").write_bytes(counted + b"\0" + hashlib.sha256(plain).digest())
    assert digest(tree) != before


def test_an_unrelated_file_is_not_counted_by_a_glob(context, path):
    tree = context(TREE)
    before = digest(tree, "d/a*")
    more(path)
    assert digest(tree, "d/a*") == before


def test_owners_of_a_stage_count(earlier, laid, tmp_path):
    tree = earlier(TREE)
    before = digest(tree)
    chown(tmp_path / "earlier" / "d")
    assert digest(tree) != before


def test_the_source_directorys_name_does_not_count(context):
    tree = context(TREE + 'd e\nf e/a "text" 644\nf e/b "b"\nl e/l -> a\n')
    assert digest(tree, "d") == digest(tree, "e")


def test_two_sources_are_not_one(context):
    tree = context('d x\nf x/a "a"\nd y\nf y/b "b"\nd z\nf z/a "a"\nf z/b "b"\n')
    assert digest(tree, "x", "y") != digest(tree, "z")


def test_inline_files_count(context):
    tree = context("")
    found = {digest(tree, Inline(name, data)) for name in "ab" for data in (b"1", b"2")}
    assert len(found) == 4


def test_what_the_stat_cache_vouches_for_is_not_opened(context, path, tmp_path):
    tree = context(TREE)
    for each in ("d", "d/a", "d/b", "d/l"):
        os.utime(tmp_path / "context" / each, ns=(7, 7), follow_symlinks=False)
    cache = Trusting(None)
    before = digest(tree, cache=cache)
    tree.open = None  # any attempt to open a file now fails
    assert digest(tree, cache=cache) == before


class Trusting(StatCache):
    """Believes files that were changed a moment ago too."""

    def note(self, status, digest, read_ns):
        super().note(status, digest, read_ns + 60 * 10**9)


def test_a_file_that_changes_while_it_is_read(context, path):
    tree = context(TREE)
    honest = tree.open

    def meddling(name):
        content(path)
        os.utime(path / "a", ns=(9, 9))
        return honest(name)

    tree.open = meddling
    with pytest.raises(BuildError, match="'d/a' changed while it was read; build again"):
        digest(tree)


def test_what_goes_while_it_is_listed_was_not_there(context, path, monkeypatch):
    tree = context(TREE)
    less(path)
    before = digest(tree)
    (path / "b").write_text("b")

    @contextmanager
    def listed(directory):
        with scandir(directory) as entries:
            found = list(entries)
        if any(entry.name == "b" for entry in found):
            less(path)
        yield found

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", listed)
    assert digest(tree) == before


def laid(tree, chosen, stage):
    """What a copy of `chosen` brings, by name: bytes, link target or nothing."""
    view = stage("")
    to = copy.destination(view, "/x/", chosen)
    manner = copy.Manner(None, None, 0, None)
    return {
        entry.name.decode(): entry.link or (content.data if isinstance(content, Held) else content)
        for entry, content in copy.entries(tree, view, chosen, to, manner)
    }


WHOLE = {"x": None, "x/a": b"text", "x/b": b"b", "x/l": b"a"}


@pytest.mark.parametrize("change", [content, longer])
def test_what_was_digested_is_copied_whatever_becomes_of_it(context, path, stage, change):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], StatCache(None)).seen
    change(path)
    (path / "new").write_text("new")
    assert laid(tree, [source.expect(seen)], stage) == WHOLE


@pytest.mark.parametrize("change", [content, longer])
@pytest.mark.parametrize("room", [0, 1, 500, 900])
def test_what_could_not_be_kept_must_be_the_same(context, path, stage, room, change):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], StatCache(None), room=room).seen
    assert seen.listing is not None
    assert laid(tree, [source.expect(seen)], stage) == WHOLE
    change(path)
    with pytest.raises(BuildError, match="changed while it was read; build again"):
        laid(tree, [source.expect(seen)], stage)


@pytest.mark.parametrize("room", [0, 500, 1 << 20])
def test_the_digest_is_the_same_however_much_is_kept(context, room):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("d",)))
    assert content_of(tree, [source], StatCache(None), room=room).digest == digest(tree)


def test_what_the_stat_cache_vouched_for_must_be_what_it_said(context, path, stage):
    """A file changed within a tick of the clock: nothing but its bytes tells."""
    tree, cache = context(TREE), Lying(None)
    digest(tree, cache=cache)
    content(path)
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], cache).seen
    with pytest.raises(BuildError, match="'d/a' changed while it was read; build again"):
        laid(tree, [source.expect(seen)], stage)


LARGE = 2 << 20  # bytes that are not kept


class Mapped:
    """A file in whose memory somebody writes, which changes no time of it."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.put(self._map[0])

    def put(self, byte):
        self._map[0] = byte


def written(tree, chosen, stage):
    """The tar of a copy of `chosen`."""
    view, out = stage(""), []
    to = copy.destination(view, "/x/", chosen)
    writer.write(copy.entries(tree, view, chosen, to, copy.Manner(None, None, 0, None)), out.append)
    return b"".join(out)


@pytest.mark.parametrize(("size", "room"), [(LARGE, 1 << 20), (LARGE, 0), (100, 0)])
def test_bytes_that_change_without_a_trace_are_not_copied(context, path, stage, size, room):
    tree = context(TREE)
    (path / "a").write_bytes(b"one" * size)
    mapped = Mapped(path / "a")
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], StatCache(None), room=room).seen
    chosen = [source.expect(seen)]
    assert b"oneone" in written(tree, chosen, stage)
    mapped.put(ord("O"))
    with pytest.raises(BuildError, match="'d/a' changed while it was read; build again"):
        written(tree, chosen, stage)


def test_a_link_that_is_swapped_once_it_was_listed_is_not_copied(context, path, stage):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], StatCache(None), room=0).seen
    honest = tree.readlink

    def meddling(name):
        target(path)
        return honest(name)

    tree.readlink = meddling
    with pytest.raises(BuildError, match="'d/l' changed while it was read; build again"):
        written(tree, [source.expect(seen)], stage)


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_a_file_that_changes_between_its_two_names_is_two_files(context, path, stage, room):
    tree = context("d d\nd d/x\nf d/x/a old\nd d/y\n")
    os.link(path / "x" / "a", path / "y" / "a")
    (source,) = select(tree, Wanted(("d",)))
    honest = tree.children

    def meddling(name):
        if name == b"d/y":
            (path / "x" / "a").write_text("new")
        return honest(name)

    tree.children = meddling
    (seen,) = content_of(tree, [source], StatCache(None), room=room).seen
    if room:
        found = laid(tree, [source.expect(seen)], stage)
        assert (found["x/x/a"], found["x/y/a"]) == (b"old", b"new")
    else:  # its first name holds something else by now
        with pytest.raises(BuildError, match="changed while it was read"):
            written(tree, [source.expect(seen)], stage)


def test_no_more_of_a_file_is_read_than_it_has(context, path):
    """One that grows as fast as it is read would never end."""
    tree = context(TREE)
    (path / "a").write_bytes(b"x" * LARGE)
    growing = os.open(path.parent / "growing", os.O_RDWR | os.O_CREAT)
    os.truncate(growing, 2 * LARGE)
    tree.open = lambda name: os.dup(growing)
    with pytest.raises(BuildError, match="'d/a' changed while it was read"):
        digest(tree)
    assert os.lseek(growing, 0, os.SEEK_CUR) == LARGE
    os.close(growing)


@pytest.mark.parametrize("heavy", ["names", "attributes"])
def test_what_is_kept_is_counted_whole(context, path, heavy):
    tree = context(TREE)
    for number in range(20):
        file = path / (f"{number}" + "n" * 200 * (heavy == "names"))
        file.write_text("")
        if heavy == "attributes":
            os.setxattr(file, "user.x", b"v" * 400)
    (source,) = select(tree, Wanted(("d",)))
    (seen,) = content_of(tree, [source], StatCache(None), room=9000).seen
    assert 5 < len(seen.nodes) < 15


class Lying(StatCache):
    """Takes a file for unchanged because it has the inode that it had."""

    def find(self, status):
        return super().find(status[:16])

    def note(self, status, digest, read_ns):
        super().note(status, digest, read_ns)
        self._known[status[:16]] = digest
