"""Paths by pattern, with every layer that had to do with them; and what directories take up."""

import pytest

from lamina.analyze.find import Taken, find, taken
from tests.unit.analyze.rig import merged

BASE = "d usr/lib\nl lib -> usr/lib\nf usr/lib/a.so 1\nf usr/lib/deep/b.so 22\nf etc/conf old"


def changes(found):
    return [(each.layer, each.change) for each in found.versions]


def paths(tree, pattern):
    return [each.path.decode() for each in find(tree, pattern)]


def test_every_version_of_a_path_is_told_oldest_first():
    tree = merged(BASE, "f etc/conf new", "f etc/conf new 600", "f etc/conf new 600", "w etc/conf")
    (found,) = find(tree, b"/etc/conf")
    assert not found.present
    assert changes(found) == [
        (0, "added"),
        (1, "changed"),
        (2, "attributes"),
        (3, "unchanged"),
        (4, "deleted"),
    ]
    assert [each.mode for each in found.versions[:3]] == [0o644, 0o644, 0o600]


def test_a_path_that_is_gone_is_found_through_the_links_to_its_directory():
    assert paths(merged(BASE, "w usr/lib/a.so"), b"/lib/a.so") == ["usr/lib/a.so"]


def test_a_path_comes_back_and_a_directory_may_be_replaced():
    tree = merged("f d/x 1", "f d 1", "w d\nf d/x 1")
    assert changes(find(tree, b"d/x")[0]) == [(0, "added"), (1, "replaced"), (2, "added")]
    assert changes(find(tree, b"/d")[0]) == [
        (0, "implied"),
        (1, "changed"),
        (2, "deleted"),
        (2, "implied"),
    ]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (b"/etc/conf", ["etc/conf"]),
        (b"etc/conf", ["etc/conf"]),
        (b"conf", ["etc/conf"]),
        (b"/conf", []),
        (b"*.so", ["usr/lib/a.so", "usr/lib/deep/b.so"]),
        (b"/usr/*/*.so", ["usr/lib/a.so"]),
        (b"/usr/**/*.so", ["usr/lib/a.so", "usr/lib/deep/b.so"]),
        (b"/usr/lib/**", ["usr/lib/a.so", "usr/lib/deep", "usr/lib/deep/b.so"]),
        (b"/**/deep", ["usr/lib/deep"]),
        (b"[ab].so", ["usr/lib/a.so", "usr/lib/deep/b.so"]),
        (b"/lib/a.so", ["usr/lib/a.so"]),
        (b"/lib", ["lib"]),
        (b"/lib/../etc/conf", ["etc/conf"]),
        (b"?", []),
        (b"/", []),
        (b"", []),
    ],
)
def test_patterns(pattern, wanted):
    expected = wanted if pattern != b"/lib/../etc/conf" else []  # usr/etc: links come first
    assert paths(merged(BASE), pattern) == expected


def test_stars_in_numbers_cost_nothing():
    tree = merged("f " + "/".join(["a"] * 40) + " 1")
    assert paths(tree, b"/".join([b"**", b"a"] * 12) + b"/b") == []


def test_what_directories_take_up_adds_up_with_hard_links_once():
    tree = merged("f d/a 4444\nh d/b -> d/a\nf d/sub/c 55555\nh e -> d/a\nl d/l -> a", "w d/sub/no")
    assert taken(tree.root, 1, files=True) == [
        Taken(b"d", 9, 6),
        Taken(b"e", 0, 1),
        Taken(b"", 9, 8),
    ]
    assert taken(tree.at(b"d"), 0, files=False) == [Taken(b"d", 9, 6)]
    assert taken(tree.at(b"e"), 3, files=False) == [Taken(b"e", 4, 1)]
