"""The merged tree: what is there, whose it is, and what was there before."""

import pytest

from lamina.analyze.merged import OPAQUE, REPLACED, WHITEOUT, Gone
from lamina.errors import BadArchive
from tests.unit.analyze.rig import merged, paths


def test_what_no_member_names_is_implied_and_brings_nothing():
    tree = merged("f a/b/c text")
    assert paths(tree) == ["a", "a/b", "a/b/c"]
    assert tree.at(b"a/b").now.implied
    assert not tree.at(b"a/b/c").now.implied
    assert tree.at(b"a/b").now.stored == 0


def test_a_directory_takes_what_it_holds_along():
    tree = merged("f d/x/one 1\nf d/two 22", "w d")
    assert paths(tree) == []
    (_, gone) = tree.known(b"d/x/one").steps
    assert gone == Gone(1, WHITEOUT, b"d", 3)
    assert tree.known(b"d/two").steps[-1] is gone


def test_something_else_in_a_directorys_place_takes_it_along_too():
    tree = merged("f d/one 1", "f d file")
    assert paths(tree) == ["d"]
    assert tree.known(b"d/one").steps[-1].how == REPLACED


def test_an_opaque_directory_shows_its_own_layer_alone_wherever_its_marker_stands():
    for text in ("o d\nf d/new 1", "f d/new 1\no d"):
        tree = merged("f d/old 1\nf d/sub/old 1", text)
        assert paths(tree) == ["d", "d/new"]
        assert tree.known(b"d/sub/old").steps[-1].how == OPAQUE


def test_a_layer_may_delete_what_it_made_and_make_it_again():
    tree = merged("f a 1\nw a\nf a 22")
    first, gone, last = tree.at(b"a").steps
    assert (first.size, gone.layer, last.size) == (1, 0, 2)


def test_a_name_through_a_link_lands_where_the_link_leads():
    tree = merged("d usr/lib\nl lib -> /usr/lib", "f lib/x 1\nw lib/y")
    assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/x"]
    assert tree.resolve(b"lib/../lib/x") is tree.at(b"usr/lib/x")
    assert tree.resolve(b"lib", follow_last=False) is tree.at(b"lib")
    assert tree.resolve(b"lib/none") is None


def test_a_link_that_went_leads_nowhere():
    tree = merged("d a\nl b -> a", "f b/x 1\nw b\nf b/y 1")
    assert paths(tree) == ["a", "a/x", "b", "b/y"]


def test_links_in_a_circle_are_refused():
    with pytest.raises(BadArchive, match="too many symbolic links"):
        merged("l a -> b\nl b -> a").resolve(b"a/x")


def test_every_name_of_a_file_has_one_body_which_is_stored_once():
    tree = merged("f a text", "h b -> a\nh c -> b")
    bodies = {id(tree.at(name).now.body) for name in (b"a", b"b", b"c")}
    assert bodies == {id(tree.at(b"a").now)}
    assert [tree.at(name).now.stored for name in (b"a", b"b", b"c")] == [4, 0, 0]
    assert tree.at(b"c").now.layer == 1


def test_what_is_replaced_is_past():
    tree = merged("f a 1", "f a 22 600", "d a 700")
    assert [(step.kind, step.layer) for step in tree.at(b"a").steps] == [
        ("file", 0),
        ("file", 1),
        ("dir", 2),
    ]


def test_leftovers_of_aufs_mean_nothing():
    tree = merged("f a 1\nf .wh..wh.aufs x\nf .wh..wh.plnk/1 x")
    assert paths(tree) == ["a"]


def test_markers_within_markers_spare_what_the_layer_brings():
    base = "f d/old 1\nf d/e/old 1\nf d/e/f/old 1"
    own = "f d/e/f/new 1\no d\no d/e\no d/e/f\nf d/e/late 1"
    assert paths(merged(base, own)) == ["d", "d/e", "d/e/f", "d/e/f/new", "d/e/late"]
    own = "f d/e/f/new 1\no d/e\no d/e/f\nw d/e/f/new\nf d/e/f/new 22\no d"
    assert paths(merged(base, own)) == ["d", "d/e", "d/e/f", "d/e/f/new"]
