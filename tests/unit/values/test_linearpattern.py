"""Expressions that anyone may ask for: they find what Python's do, and never take long for it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.values.linearpattern import LinearPattern, NotLinear

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\.", "(^)", "($)", r"(\b)", "-"])
REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "{0}", "*?", "+?"])


def _grown(inner):
    row = st.lists(st.tuples(inner, REPEATS).map("".join), max_size=4).map("".join)
    return st.lists(row, min_size=1, max_size=3).map("|".join).map(lambda text: f"({text})")


EXPRESSIONS = st.recursive(ATOMS, _grown, max_leaves=8)


@given(EXPRESSIONS, st.text("ab.-", max_size=7))
def test_it_finds_what_pythons_do(expression, text):
    assert LinearPattern(expression).search(text) is bool(re.search(expression, text))


@pytest.mark.parametrize(
    ("expression", "name", "is_found"),
    [
        ("^web$", "web", True),
        ("^/?web$", "/web", True),
        ("web-[0-9]+", "my-web-12", True),
        ("web-[0-9]+", "web-x", False),
        ("/name", "/name", True),
        ("a|b", "xb", True),
        (".*", "", True),
        ("", "x", True),
        (r"(?:db|web)\.[0-9]{1,3}$", "db.17", True),
        ("{x", "a{x", True),
    ],
)
def test_the_usual_ones_are_had(expression, name, is_found):
    assert LinearPattern(expression).search(name) is is_found


@pytest.mark.parametrize(
    "expression",
    [
        *("(a+)+$", "(a|a)+$", "(a|a)" * 30 + "$", "a?" * 60 + "a" * 60 + "b", ".*" * 60 + "x"),
        *("((((a*)*)*)*)*x", "(.*){1,30}x", "(a|aa)+$"),
    ],
)
def test_what_python_never_comes_to_an_end_with_is_soon_over(expression):
    assert LinearPattern(expression).search("a" * 64 + "-") is False


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a" * 201, "200 characters"),
        (r"(a)\1", "refers back"),
        ("(?=a)", r"\(\?"),
        ("(?i)a", r"\(\?"),
        ("(?P<x>a)", r"\(\?"),
        ("((a{30}){30}){30}", "1000 steps"),
        ("(){1001}", "1000 steps"),
        ("(" * 60 + ")" * 60, "50 groups"),
        *((text, ".") for text in ("(", ")", "a)", "*", "a**", "[", "[z-a]", "\\", "a{2,1}", "|+")),
    ],
)
def test_what_cannot_be_had_is_refused(expression, why):
    with pytest.raises(NotLinear, match=why):
        LinearPattern(expression)
