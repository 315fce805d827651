"""`lamina explore`, driven by keys in tmux."""

import pytest

from lamina.testing.sample_images import as_tar, classic, sample
from tests.cli.rig import assert_complaint
from tests.cli.tmux import Terminal

LOWER = "f etc/a 1\nf etc/b 22\nf usr/lib/c 333\nd opt"
UPPER = "f etc/b 4444\nf usr/lib/dee 1\nw opt"


@pytest.fixture
def loaded(lamina):
    history = [{"created_by": "ADD rootfs.tar"}, {"created_by": "RUN make it"}]
    archive = as_tar(classic(sample(LOWER, UPPER, names=["app:1"], history=history)))
    lamina.ok("load", "-q", stdin=archive)
    return lamina


@pytest.fixture
def terminal(loaded, needs_program):
    made = Terminal(needs_program("tmux"), loaded, "explore", "app:1")
    yield made
    made.end()


def test_an_image_is_walked_through_by_keys(terminal):
    screen = terminal.shows("app:1", "2B wasted", "RUN make it", "▸ etc/", "D", "opt")
    assert "9B as of layer 2" in screen
    terminal.press("Right")
    terminal.shows("▾ etc/", "C      4B     b")
    terminal.press("[")
    terminal.shows("6B as of layer 1", "A      2B     b", "A           opt/", lacking=["C "])
    terminal.press("]", "/", "d", "e", "e")
    terminal.shows("/dee")
    terminal.press("Enter")
    terminal.shows(
        "▾ lib/", "A      1B       dee", "/usr/lib/dee  0644 0:0  by layer 2, RUN make it"
    )
    terminal.press("c")
    terminal.shows("dee", "b", lacking=["  a\n"])
    terminal.press("/", "z", "z", "Enter")
    terminal.shows("nothing here is called zz")
    terminal.press("g", "Left")
    terminal.shows("▸ etc/", "/etc  0755")
    terminal.press("q")
    terminal.shows("left: 0")


def test_a_small_terminal_and_one_that_changes_its_size_are_no_trouble(terminal):
    terminal.shows("▸ etc/")
    terminal.resize(30, 4)
    terminal.shows("make it 40 x 6")
    for size in ((20, 4), (41, 7), (120, 30)):
        terminal.resize(*size)
    terminal.press("Right")
    terminal.shows("▾ etc/", "q quit")


def test_without_a_terminal_it_says_so(loaded):
    assert_complaint(loaded("explore", "app:1"), "needs a terminal")
