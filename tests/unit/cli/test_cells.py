"""Text for a terminal: nothing of it steers, and it takes up no more cells than it is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.cells import cut, harmless, shortened, width

NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x9d[]0;m\x07\\\r\t\b漢é\u0301"))
)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain words", "plain words"),
        ("\x1b[31mred\x1b[0m \x1b[1;4mbold\x1b[m", "red bold"),
        ("\x1b[2J\x1b[5;5Hmoved\x1b[1A", "moved"),
        ("\x1b]0;title\x07after\x1b]2;title\x1b\\end", "afterend"),
        ("before\x1b]0;never ends", "before"),
        ("\x1bPq#0;sixel\x1b\\after", "after"),
        ("\x9b31mred\x9d0;title\x9cafter", "redafter"),
        ("\x1bcreset\x1b(0lines\x1b7", "resetlines"),
        ("10%\r50%\r100%\r", "100%"),
        ("a\tb\x00\x08\x7fc", "a       bc"),
        ("turned \u202eround", "turned round"),
        ("dis\ufe0fputed", "disputed"),
        ("\x1b", ""),
    ],
)
def test_what_steers_a_terminal_is_taken_out(written, seen):
    assert harmless(written) == seen


@given(NASTY)
def test_nothing_that_is_left_can_steer(text):
    assert all(char.isprintable() for char in harmless(text))
    assert harmless(harmless(text)) == harmless(text)


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("\uff37", 2), ("…", 1), ("", 0)]
)
def test_a_width_is_in_cells(text, cells):
    assert width(text) == cells


@given(NASTY, st.integers(-1, 12))
def test_what_is_cut_fits_and_is_a_beginning(text, cells):
    shown = cut(text, cells)
    assert text.startswith(shown)
    assert width(shown) <= max(cells, 0)
    assert width(shortened(text, cells)) <= max(cells, 0)


@given(NASTY)
def test_what_fits_is_left_whole(text):
    assert cut(text, width(text)) == shortened(text, width(text)) == text
