"""COPY as entries: rules 39, 40 and 43 to 51 of the builder's reference."""

import os
import stat

import pytest

from lamina.archive.entry import DIR, FILE, HARDLINK, SYMLINK, in_order
from lamina.build import copy
from lamina.build.copy import Manner
from lamina.build.selection import Inline, Seen, Wanted, select
from lamina.dockerfile.chmod import parse
from lamina.errors import BuildError, StorageError, UsageError
from lamina.fs.tree import StackedTree

NOW = 1_700_000_000 * 10**9
PLAIN = Manner(None, None, NOW, None)
SHORT = {DIR: "d", FILE: "f", SYMLINK: "l", HARDLINK: "h"}


def copied(tree, view, sources, to, manner=PLAIN, link=False, **flags):
    selected = select(tree, Wanted(tuple(sources), **flags))
    where = copy.destination(view, to, selected, link=link)
    return list(copy.entries(tree, view, selected, where, manner))


def lines(pairs):
    return [_line(entry) for entry, _ in pairs]


def _line(entry):
    start = f"{SHORT.get(entry.kind, entry.kind)} {entry.name.decode()}"
    if entry.kind in (SYMLINK, HARDLINK):
        return f"{start} -> {entry.link.decode()}"
    return f"{start} {entry.mode:o} {entry.uid}:{entry.gid}"


def names(pairs):
    return [entry.name.decode() for entry, _ in pairs]


EMPTY = ""
SOURCE = """
    d src 700
    f src/a "a" 640
    d src/sub 711
    f src/sub/b "b" 4755
    f one "1"
    f two "2"
"""


def test_a_directory_into_a_new_one(context, stage):
    """46: the made destination is 0:0 and 755, whatever the source directory is."""
    assert lines(copied(context(SOURCE), stage(EMPTY), ["src"], "/new")) == [
        "d new 755 0:0",
        "f new/a 640 0:0",
        "d new/sub 711 0:0",
        "f new/sub/b 4755 0:0",
    ]


def test_host_owners_never_count(context, stage):
    tree = context('f a "a" 644 1000:1000\n')
    assert lines(copied(tree, stage(EMPTY), ["a"], "/")) == ["f a 644 0:0"]


def test_a_stages_owners_do(earlier, stage):
    tree = earlier('d out\nf out/a "a" 600 7:8\n')
    assert lines(copied(tree, stage(EMPTY), ["/out"], "/new")) == [
        "d new 755 0:0",
        "f new/a 600 7:8",
    ]


def test_an_existing_destination_keeps_its_metadata(context, stage):
    """45: but directories from the second level down take over the source's."""
    view = stage("d opt 1777 3:4\nd opt/sub 700 5:6\n")
    assert lines(copied(context(SOURCE), view, ["src"], "/opt")) == [
        "d opt 1777 3:4",
        "f opt/a 640 0:0",
        "d opt/sub 711 0:0",
        "f opt/sub/b 4755 0:0",
    ]


def test_existing_parents_come_along_as_they_are(context, stage):
    view = stage("d usr 750 1:2\nd usr/share 705 3:4\n")
    entries = copied(context(SOURCE), view, ["one"], "/usr/share/app/one")
    assert lines(entries) == [
        "d usr 750 1:2",
        "d usr/share 705 3:4",
        "d usr/share/app 755 0:0",
        "f usr/share/app/one 644 0:0",
    ]
    assert entries[0][0].mtime_ns == view.lstat(b"usr").st_mtime_ns
    assert entries[2][0].mtime_ns == NOW


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("/dir", "dir/one"),
        ("/dir/", "dir/one"),
        ("/new", "new"),
        ("/new/", "new/one"),
        ("/file", "file"),
        ("/", "one"),
        ("/.", "one"),
    ],
)
def test_a_file_goes_inside_a_directory_or_becomes_the_name(context, stage, to, name):
    """39."""
    entries = copied(context(SOURCE), stage('d dir\nf file "f"\n'), ["one"], to)
    assert names(entries)[-1] == name


def test_a_directory_onto_a_file(context, stage):
    with pytest.raises(UsageError, match="'/file' is a file in the image, not a directory"):
        copied(context(SOURCE), stage('f file "f"\n'), ["src"], "/file")


def test_below_a_file(context, stage):
    with pytest.raises(UsageError, match="/file is no directory in the image"):
        copied(context(SOURCE), stage('f file "f"\n'), ["one"], "/file/below/one")


def test_several_sources_need_a_directory(context, stage):
    """40."""
    tree, view = context(SOURCE), stage(EMPTY)
    with pytest.raises(UsageError, match="2 sources cannot become the one file '/x'; end the"):
        copied(tree, view, ["one", "two"], "/x")
    with pytest.raises(UsageError, match="2 sources"):
        copied(tree, view, ["??[eo]"], "/x")
    assert names(copied(tree, view, ["one", "two"], "/x/")) == ["x", "x/one", "x/two"]


@pytest.mark.parametrize("link", [False, True])
def test_several_sources_into_what_the_first_of_them_becomes(context, stage, link):
    """As docker has it: there is a directory once the first source is one."""
    tree, view = context('d a\nf a/x "1"\nf b "2"\n'), stage(EMPTY)
    assert names(copied(tree, view, ["a", "b"], "/t", link=link)) == ["t", "t/b", "t/x"]
    with pytest.raises(UsageError, match="2 sources"):
        copied(tree, view, ["b", "a"], "/t", link=link)


def test_the_later_source_wins(context, stage):
    tree = context('d a\nf a/x "1"\nd a/y\nf a/y/z "z"\nd b\nf b/x "22"\nf b/y "y"\n')
    entries = copied(tree, stage(EMPTY), ["a", "b"], "/t/")
    assert [(e.name, e.kind, e.size) for e, _ in entries[1:]] == [
        (b"t/x", FILE, 2),
        (b"t/y", FILE, 1),
    ]


@pytest.mark.parametrize(
    ("link", "to", "path"),
    [
        ("l lib -> /usr/lib", "/lib/one", "usr/lib/one"),
        ("l lib -> usr/lib", "/lib/", "usr/lib/one"),
        ("l lib -> ../../../usr/lib", "/lib/", "usr/lib/one"),
        ("l lib -> nowhere/yet", "/lib/", "nowhere/yet/one"),
        ("l file -> /usr/other", "/file", "usr/other"),
        ("l etc -> /proc/self/root/etc", "/etc/", "proc/self/root/etc/one"),
    ],
)
def test_links_in_the_destination_stay_inside_the_image(context, stage, link, to, path):
    """43: also dangling ones and ones that climb."""
    view = stage(f"d usr\nd usr/lib\n{link}\n")
    assert names(copied(context(SOURCE), view, ["one"], to))[-1] == path


def test_a_circle_of_links_in_the_destination(context, stage):
    with pytest.raises(UsageError, match="symbolic links"):
        copied(context(SOURCE), stage("l a -> b\nl b -> a\n"), ["one"], "/a/x")


def test_links_in_the_source_stay_links(context, stage):
    tree = context("d d\nl d/passwd -> /etc/passwd\nl d/up -> ../../../etc/shadow\n")
    assert lines(copied(tree, stage(EMPTY), ["d"], "/x"))[1:] == [
        "l x/passwd -> /etc/passwd",
        "l x/up -> ../../../etc/shadow",
    ]


def test_types_that_clash_are_replaced(context, stage):
    """44."""
    view = stage('d x\nl x/a -> /etc\nd x/b\nf x/b/in "in"\n')
    tree = context('d s\nd s/a\nf s/a/f "f"\nl s/b -> a\n')
    assert lines(copied(tree, view, ["s"], "/x")) == [
        "d x 755 0:0",
        "d x/a 755 0:0",
        "f x/a/f 644 0:0",
        "l x/b -> a",
    ]


def test_chown_applies_to_all_that_is_written_and_to_made_parents(context, stage):
    """47."""
    view = stage("d opt 755 9:9\n")
    manner = PLAIN._replace(owner=(5, 6))
    assert lines(copied(context(SOURCE), view, ["src"], "/opt/deep/er", manner)) == [
        "d opt 755 9:9",
        "d opt/deep 755 5:6",
        "d opt/deep/er 755 5:6",
        "f opt/deep/er/a 640 5:6",
        "d opt/deep/er/sub 711 5:6",
        "f opt/deep/er/sub/b 4755 5:6",
    ]


def test_chmod_sets_exactly(context, stage):
    """48: made parents too, links not."""
    tree = context('d s\nf s/a "a"\nl s/l -> a\n')
    entries = copied(tree, stage(EMPTY), ["s"], "/p/q", PLAIN._replace(mode=0o770))
    assert lines(entries)[:3] == ["d p 770 0:0", "d p/q 770 0:0", "f p/q/a 770 0:0"]
    assert entries[3][0].mode == 0o777


def test_a_symbolic_chmod_looks_at_each(context, stage):
    tree = context('d s\nf s/a "a" 600\nf s/b "b" 711\nd s/d 700\n')
    entries = copied(tree, stage(EMPTY), ["s"], "/p", PLAIN._replace(mode=parse("u=rwX,go=rX")))
    assert lines(entries) == [
        "d p 755 0:0",
        "f p/a 644 0:0",
        "f p/b 755 0:0",
        "d p/d 755 0:0",
    ]


def test_a_linked_copy_follows_no_link_of_the_stage(context, stage):
    """43: what is a link to a directory there becomes a directory; directories stay as they are."""
    view = stage("d tmp 1777 3:4\nd real 700\nl tmp/link -> ../real\n")
    assert lines(copied(context(SOURCE), view, ["one"], "/tmp/link/x/", link=True)) == [
        "d tmp 1777 3:4",
        "d tmp/link 755 0:0",
        "d tmp/link/x 755 0:0",
        "f tmp/link/x/one 644 0:0",
    ]
    assert names(copied(context(SOURCE), view, ["one"], "/tmp/link/x/")) == [
        "real",
        "real/x",
        "real/x/one",
    ]


def test_a_linked_file_does_not_replace_a_directory(context, stage):
    with pytest.raises(UsageError, match="which a linked file would replace"):
        copied(context(SOURCE), stage("d etc\n"), ["one"], "/etc", link=True)


def test_hard_links_within_one_source_are_kept(context, stage):
    """50."""
    tree = context('d s\nf s/a "a"\nh s/b -> s/a\nd t\nh t/c -> s/a\n')
    assert lines(copied(tree, stage(EMPTY), ["s", "t"], "/x/"))[1:] == [
        "f x/a 644 0:0",
        "h x/b -> x/a",
        "f x/c 644 0:0",
    ]


def test_a_replaced_hard_link_does_not_name_the_replacement(context, stage):
    tree = context('d s\nf s/a "a"\nh s/b -> s/a\nd t\nf t/a "other"\n')
    entries = copied(tree, stage(EMPTY), ["s", "t"], "/x/")
    assert [(e.name, e.kind, e.size) for e, _ in entries[1:]] == [
        (b"x/a", FILE, 5),
        (b"x/b", FILE, 1),
    ]


@pytest.mark.usefixtures("needs_root")
def test_special_files(context, stage, tmp_path):
    """50: devices and FIFOs are made again, a socket becomes an empty file."""
    import socket

    tree = context("d s\np s/fifo 600\nc s/null 1:3\n")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "context" / "s" / "sock"))
    entries = {e.name: (e, opener) for e, opener in copied(tree, stage(EMPTY), ["s"], "/x")}
    assert entries[b"x/fifo"][0].kind == "fifo"
    null = entries[b"x/null"][0]
    assert (null.kind, null.devmajor, null.devminor) == ("char", 1, 3)
    assert entries[b"x/sock"] == (entries[b"x/sock"][0]._replace(kind=FILE, size=0), None)


def test_times_are_kept_and_clamped(context, stage, tmp_path):
    """51."""
    tree = context('f a "a"\n')
    os.utime(tmp_path / "context" / "a", ns=(1, NOW + 123))
    (entry, _), *_ = copied(tree, stage(EMPTY), ["a"], "/")
    assert entry.mtime_ns == NOW + 123
    (entry, _), *_ = copied(tree, stage(EMPTY), ["a"], "/", PLAIN._replace(clamp_ns=NOW))
    assert entry.mtime_ns == NOW


def test_inline_files(context, stage):
    selected = select(context(""), Wanted((Inline("f", b"text"),)))
    view = stage(EMPTY)
    where = copy.destination(view, "/x", selected)
    ((entry, content),) = copy.entries(context(""), view, selected, where, PLAIN)
    assert (entry.name, entry.mode, entry.size, entry.mtime_ns) == (b"x", 0o644, 4, NOW)
    assert (content.read(3), content.read(9), content.read(9)) == (b"tex", b"t", b"")


def test_the_order_is_that_of_components(context, stage):
    tree = context('d a\nf a/x "x"\nf a-b "1"\nf a.b "2"\n')
    assert names(copied(tree, stage(EMPTY), ["."], "/")) == ["a", "a/x", "a-b", "a.b"]


def test_an_empty_directory_into_an_existing_one_changes_nothing(context, stage):
    assert copied(context("d s\n"), stage("d x\n"), ["s"], "/x") == []


def test_an_empty_directory_into_a_new_one_makes_it(context, stage):
    assert lines(copied(context("d s\n"), stage(EMPTY), ["s"], "/x")) == ["d x 755 0:0"]


def test_into_scratch(context):
    view = StackedTree(())
    assert lines(copied(context(SOURCE), view, ["one"], "/bin/")) == [
        "d bin 755 0:0",
        "f bin/one 644 0:0",
    ]
    assert lines(copied(context(SOURCE), view, ["."], "/"))[0] == "f one 644 0:0"


def test_parents_leaves_existing_directories_alone(context, stage):
    tree = context('d etc 700\nd etc/app 711\nf etc/app/conf "c"\n')
    view = stage("d etc 755 1:1\n")
    assert lines(copied(tree, view, ["etc/app/conf"], "/", parents=True)) == [
        "d etc 755 1:1",
        "d etc/app 711 0:0",
        "f etc/app/conf 644 0:0",
    ]


def large(path):
    """A file that is not read at once."""
    with open(path, "wb") as file:
        file.write(b"large")
        file.truncate(3 << 20)


def test_a_file_that_changes_between_looking_and_copying(context, stage, tmp_path):
    tree = context("")
    large(tmp_path / "context" / "a")
    ((_, opener),) = copied(tree, stage(EMPTY), ["a"], "/")
    (tmp_path / "context" / "a").write_text("b")
    with pytest.raises(BuildError, match="'a' changed while it was read"):
        opener()


def test_a_small_file_that_changed_since_it_was_listed(context, stage, tmp_path):
    tree = context('f a "a"\nf b "b"\n')
    selected = select(tree, Wanted(("a", "b")))
    nodes = [node for source in selected for node in source.nodes()]
    chosen = [one.expect(Seen([node], None)) for one, node in zip(selected, nodes, strict=True)]
    (tmp_path / "context" / "b").write_text("c")
    view = stage(EMPTY)
    stream = copy.entries(tree, view, chosen, copy.destination(view, "/x/", chosen), PLAIN)
    assert [next(stream)[0].name, next(stream)[0].name] == [b"x", b"x/a"]
    with pytest.raises(BuildError, match="'b' changed while it was read"):
        next(stream)


def test_a_file_swapped_for_a_link_is_not_followed(context, stage, tmp_path):
    tree = context("")
    large(tmp_path / "context" / "a")
    ((_, opener),) = copied(tree, stage(EMPTY), ["a"], "/")
    os.unlink(tmp_path / "context" / "a")
    os.symlink("/etc/passwd", tmp_path / "context" / "a")
    with pytest.raises(StorageError, match=r"reading a: .*symbolic links"):
        opener()


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("/a/b", ["d lib 755 1:1", "d lib/x 755 2:3"]),
        ("/lib", []),
        ("/", []),
        ("/link", []),
        ("/lib/x/y/", ["d lib 755 1:1", "d lib/x 755 2:3", "d lib/x/y 755 2:3"]),
    ],
)
def test_workdir_makes_what_is_missing(stage, text, made):
    """66: owned by the user, existing directories as they are, links followed."""
    view = stage("d lib 755 1:1\nl link -> lib\nl a -> lib\n")
    manner = PLAIN._replace(owner=(2, 3))
    got = [_line(entry) for entry in copy.making(view, text.replace("/b", "/x"), manner)]
    assert got == made


def test_workdir_onto_a_file(stage):
    with pytest.raises(UsageError, match="the working directory '/x' is a file"):
        list(copy.making(stage('f x "x"\n'), "/x", PLAIN))


def test_attributes_are_kept(context, stage, tmp_path):
    tree = context('f a "a"\n')
    try:
        os.setxattr(tmp_path / "context" / "a", "user.note", b"n")
    except OSError:
        pytest.skip("this file system keeps no user attributes")
    ((entry, _),) = copied(tree, stage(EMPTY), ["a"], "/")
    assert entry.xattrs == ((b"user.note", b"n"),)


def test_modes_are_the_low_bits_only(context, stage):
    ((entry, _),) = copied(context('f a "a" 1755\n'), stage(EMPTY), ["a"], "/")
    assert entry.mode == 0o1755
    assert stat.S_IFMT(entry.mode) == 0


def test_one_directory_and_several_sources_give_the_same_entries(context, stage):
    """A single directory is not laid out in memory; what comes of it must not differ."""
    tree = context(
        SOURCE + 'h src/c -> src/a\nl src/l -> nowhere\nd src/a-b\nf src/a-b/x "x"\nd src/a.b\n'
    )
    view = stage('d x 711 1:2\nd x/sub 700 3:4\nf x/a "old"\nl x/a.b -> sub\n')
    manner = PLAIN._replace(owner=(5, 6), clamp_ns=NOW)
    for to in ("/x", "/new/deep", "/"):
        alone = [entry for entry, _ in copied(tree, view, ["src"], to, manner)]
        twice = [entry for entry, _ in copied(tree, view, ["src", "src"], f"{to}/", manner)]
        assert alone == twice
        assert [entry.name for entry in alone] == sorted(
            (entry.name for entry in alone), key=in_order
        )


@pytest.mark.parametrize("name", [".wh.etc", "d/.wh.a", "d/.wh..wh..opq", ".wh..wh.plnk/a"])
@pytest.mark.parametrize("source", [".", "./"])
def test_a_name_that_would_delete_something_is_refused(context, stage, name, source):
    folder = name.rpartition("/")[0]
    tree = context(f"d {folder or 'other'}\nf {name} x\n")
    with pytest.raises(BuildError, match="mean deletions"):
        copied(tree, stage("d etc\nd d\nf d/a 1\n"), [source], "/")
