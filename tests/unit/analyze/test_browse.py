"""Walking through the tree as each layer left it."""

import pytest

from lamina.analyze.browse import Browser
from tests.unit.analyze.rig import merged


@pytest.fixture
def browser():
    return Browser(
        merged(
            "f etc/a 1\nf etc/b 22\nf usr/lib/c 333\nd opt",
            "d etc\nf etc/b 4444\nf usr/lib/d 1\nw opt",
            "w etc/a\nh new -> etc/b",
        )
    )


def shown(browser):
    return [
        f"{'  ' * row.depth}{row.node.name.decode()} {row.mark} {row.size}" for row in browser.rows
    ]


def test_the_top_layer_is_seen_first_and_marked(browser):
    assert browser.layer == 2
    assert shown(browser) == ["etc · 4", "new A 4", "usr   4"]
    assert browser.total == 8
    browser.enter()
    assert shown(browser) == ["etc · 4", "  a D 0", "  b   4", "new A 4", "usr   4"]


def test_another_layer_shows_its_own_tree_and_the_cursor_stays_where_it_can(browser):
    browser.enter()
    browser.move(1)
    assert browser.current.name == b"a"
    browser.look(1)
    assert shown(browser) == ["etc · 5", "  a   1", "  b C 4", "opt D 0", "usr · 4"]
    assert browser.current.name == b"a"
    browser.look(0)
    assert shown(browser) == ["etc A 3", "  a A 1", "  b A 2", "opt A 0", "usr A 3"]
    browser.look(-7)
    assert browser.layer == 0
    browser.look(7)
    assert browser.layer == 2


def test_entering_and_leaving(browser):
    browser.move(2)
    browser.enter()
    browser.enter()
    assert browser.current.name == b"lib"
    browser.enter()
    browser.enter()
    assert browser.current.name == b"c"
    browser.enter()  # a file
    browser.leave()
    assert browser.current.name == b"lib"
    browser.leave()
    assert [row.node.name for row in browser.rows] == [b"etc", b"new", b"usr", b"lib"]
    browser.move(-100)
    browser.leave()
    assert browser.at == 0
    browser.move(100)
    assert browser.current.name == b"lib"


def test_only_changes_and_by_size(browser):
    browser.look(1)
    browser.narrow()
    assert shown(browser) == ["etc · 5", "opt D 0", "usr · 4"]
    browser.enter()
    assert shown(browser)[:2] == ["etc · 5", "  b C 4"]
    browser.narrow()
    browser.sort()
    assert shown(browser) == ["etc · 5", "  b C 4", "  a   1", "usr · 4", "opt D 0"]


def test_a_search_opens_what_it_finds_goes_on_and_begins_again(browser):
    assert browser.search(b"C")  # after etc, which has one, too
    assert browser.current.path == b"usr/lib/c"
    assert browser.search(b"c")
    assert browser.current.name == b"etc"
    assert browser.search(b"c")
    assert browser.current.path == b"usr/lib/c"
    at = browser.at
    assert not browser.search(b"opt")  # no layer since the second has it
    assert browser.at == at


def test_an_empty_image_has_nothing_to_show():
    browser = Browser(merged())
    assert browser.rows == []
    assert browser.current is None
    for act in (browser.enter, browser.leave, browser.sort, browser.narrow):
        act()
    browser.move(1)
    assert not browser.search(b"x")
    assert browser.total == 0
