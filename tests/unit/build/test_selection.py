"""Which files a COPY takes: rules 38, 41 to 43, 53 and 54 of the builder's reference."""

import os
import tracemalloc
from contextlib import contextmanager

import pytest

from lamina.build.selection import Inline, Kept, Listing, Seen, Wanted, select
from lamina.errors import BuildError, PathNotFound, UsageError
from lamina.fs.remove import remove_tree

TREE = """
    d app
    f app/main.py "main"
    d app/lib
    f app/lib/a.py "a"
    f one.txt "1"
    f two.txt "2"
    f .hidden "h"
    d docs
    f docs/README.md "r"
    f docs/other "o"
"""


def taken(tree, *sources, **flags):
    found = select(tree, Wanted(sources, **flags))
    return [[os.fsdecode(node.name) for node in source.nodes()] for source in found]


@pytest.mark.parametrize(
    "spelling", ["app", "app/", "app/.", "./app", "/app", "../app", "x/../app"]
)
def test_a_directory_gives_its_contents(context, spelling):
    assert taken(context(TREE), spelling) == [["", "lib", "lib/a.py", "main.py"]]


def test_a_file_gives_itself(context):
    assert taken(context(TREE), "app/lib/a.py") == [["a.py"]]


def test_the_whole_context(context):
    names = taken(context(TREE), ".")[0]
    assert names[0] == ""
    assert "app/lib/a.py" in names
    assert ".hidden" in names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", [["one.txt"], ["two.txt"]]),
        ("[^o]*.txt", [["two.txt"]]),
        ("app/*", [["", "a.py"], ["main.py"]]),
        ("a?p/lib/*.py", [["a.py"]]),
        ("*/lib", [["", "a.py"]]),
        ("?hidden", [[".hidden"]]),
    ],
)
def test_globs(context, pattern, names):
    assert taken(context(TREE), pattern) == names


def test_a_pattern_without_a_match_is_passed_over_beside_another_source(context):
    assert taken(context(TREE), "one.txt", "lock.json*") == [["one.txt"]]


def test_patterns_that_match_nothing_at_all(context):
    with pytest.raises(PathNotFound, match="nothing in the build context matches 'x\\*'"):
        select(context(TREE), Wanted(("x*",)))


def test_a_missing_source_names_what_is_near(context):
    with pytest.raises(PathNotFound, match=r"has no 'app/mian.py'; did you mean app/main.py\?"):
        select(context(TREE), Wanted(("app/mian.py",)))


def test_a_link_given_as_source_is_followed(context):
    tree = context(TREE + "l link -> docs\nl file -> one.txt\n")
    assert taken(tree, "link") == [["", "README.md", "other"]]
    (source,) = select(tree, Wanted(("file",)))
    assert (source.top.name, source.top.path) == (b"file", b"one.txt")


def test_a_link_inside_a_directory_is_kept(context):
    tree = context("d d\nl d/passwd -> /etc/passwd\n")
    (source,) = select(tree, Wanted(("d",)))
    assert [node.path for node in source.nodes()] == [b"d", b"d/passwd"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd"])
def test_a_link_never_leads_out_of_the_context(context, target):
    tree = context(f"l passwd -> {target}\n")
    with pytest.raises(PathNotFound, match=f"'passwd' is a link to '{target}', which is not there"):
        select(tree, Wanted(("passwd",)))


def test_a_link_to_nowhere_among_what_a_pattern_matches_is_named(context):
    tree = context('f real "x"\nl stray -> nowhere\n')
    said = r"has no '\*': 'stray' is a link to 'nowhere', which is not there"
    with pytest.raises(PathNotFound, match=said):
        select(tree, Wanted(("*",)))


def test_a_circle_of_links(context):
    tree = context("l a -> b\nl b -> a\n")
    with pytest.raises(UsageError, match="symbolic links"):
        select(tree, Wanted(("a",)))


def test_inline_files(context):
    (source,) = select(context(""), Wanted((Inline("name", b"text"),)))
    assert source.top.data == b"text"
    assert source.top.status.size == 4


def test_exclude_is_relative_to_each_source(context):
    tree = context(TREE)
    assert taken(tree, "app", exclude=(lambda path: path == "lib/a.py",)) == [
        ["", "lib", "main.py"]
    ]


def test_an_excluded_directory_appears_for_what_is_brought_back(context):
    tree = context(TREE)
    hidden = {"docs", "docs/other"}
    assert taken(tree, ".", exclude=(lambda path: path in hidden or path.startswith("app"),)) == [
        ["", ".hidden", "docs", "docs/README.md", "one.txt", "two.txt"]
    ]
    hidden.add("docs/README.md")
    assert taken(tree, ".", exclude=(lambda path: path in hidden or path.startswith("app"),)) == [
        ["", ".hidden", "one.txt", "two.txt"]
    ]


def test_parents_keeps_the_path(context):
    assert taken(context(TREE), "app/lib/a.py", parents=True) == [
        ["app", "app/lib", "app/lib/a.py"]
    ]


def test_parents_with_a_pivot(context):
    assert taken(context(TREE), "app/./lib", parents=True) == [["lib", "lib/a.py"]]


def test_parents_with_a_glob_that_matches_nothing(context):
    assert taken(context(TREE), "x/*.py", parents=True) == []
    with pytest.raises(PathNotFound):
        select(context(TREE), Wanted(("x/y.py",), parents=True))


@contextmanager
def deep(path, name, depth):
    """A directory of that name, and in it another one, and so on."""
    descriptor = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    try:
        yield
    finally:
        remove_tree(str(path / name))


def test_a_deep_tree_is_no_matter(context, tmp_path):
    tree = context("")
    with deep(tmp_path / "context", "d", 1500):
        assert len(taken(tree, ".")[0]) == 1501


def test_a_deep_tree_takes_no_path_for_each_of_its_levels(context, tmp_path):
    """All paths together have 90 MB; the tree itself remembers 256 of them."""
    tree = context("")
    with deep(tmp_path / "context", "n" * 250, 850):
        (source,) = select(tree, Wanted((".",)))
        tracemalloc.start()
        try:
            assert sum(1 for _ in source.nodes()) == 851
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_source_that_is_no_longer_the_same(context, tmp_path, kept):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("app",)))
    listing = Listing()
    nodes = [node._replace(kept=Kept(bytes([at]) * 32)) for at, node in enumerate(source.nodes())]
    for node in nodes:
        listing.add(node)
    further = b"".join(node.kept.digest for node in nodes[kept:])
    expected = source.expect(Seen(nodes[:kept], listing.digest(), further))
    assert list(expected.nodes()) == nodes
    (tmp_path / "context" / "app" / "new").write_text("")
    with pytest.raises(BuildError, match="'app' changed while it was read; build again"):
        list(expected.nodes())


def test_a_source_of_which_all_is_known_is_not_walked_again(context, tmp_path):
    tree = context(TREE)
    (source,) = select(tree, Wanted(("app",)))
    nodes = list(source.nodes())
    (tmp_path / "context" / "app" / "new").write_text("")
    assert list(source.expect(Seen(nodes, None)).nodes()) == nodes


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("https://host/file", "ADD fetches what is elsewhere, COPY does not"),
        ("../file", "nothing above the context can be had: build from there"),
        ("/home/me/file", "a source is a path within the context"),
        ("file", ""),
    ],
)
def test_what_may_have_been_meant(context, source, hint):
    with pytest.raises(PathNotFound) as caught:
        select(context(""), Wanted((source,)))
    assert caught.value.hint.startswith(hint)
    assert bool(caught.value.hint) == bool(hint)
