"""The YAML of registries.d: what is read, and that the rest is refused with its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import BadDocument
from lamina.spec.blockyaml import parse

WORDS = st.text("ab:/.-_ #@'\"1", min_size=1, max_size=12)
TREES = st.recursive(
    st.one_of(st.none(), WORDS),
    lambda inner: st.dictionaries(WORDS, inner, min_size=1, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def written(tree, depth=0):
    lines = []
    for key, value in tree.items():
        head = " " * depth * 3 + json.dumps(key) + ":"
        if isinstance(value, dict):
            lines += [head + "  # inside", *written(value, depth + 1)]
        else:
            lines.append(
                head if value is None else f"{head} '{value.replace(chr(39), chr(39) * 2)}'"
            )
    return lines


@given(TREES)
def test_what_is_written_is_read(tree):
    assert parse("\n".join(written(tree)).encode(), "x") == tree


def test_json_is_yaml():
    assert parse(b'{"a": {"b": true, "c": null}}', "x") == {"a": {"b": "true", "c": None}}


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("---\n# only words\n", {}),
        ("a:\n", {"a": None}),
        ("a: b c # d\n", {"a": "b c"}),
        ("a.b:5000/c:1: https://x/y#z\n", {"a.b:5000/c:1": "https://x/y#z"}),
        ("  a:\n     b: c\n\n  d: ~\n", {"a": {"b": "c"}, "d": None}),
    ],
)
def test_what_people_write_is_read(text, tree):
    assert parse(text.encode(), "x") == tree


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(("a: [b]", 1), ("- a", 1), ("a: &b c", 1), ("a: |\n  b", 1), ("a", 1), ("a: {b: c}", 1)),
        *(("a:\n\tb: c", 2), ("a:\n  b:\n c: d", 3), ("a: b\na: c", 2), ("a: b\n  c: d", 2)),
        *(("? a", 1), ('a: "b', 1), ("a: 'b' c", 1), ("a: b\n---\nc: d", 2), (" a: b\nc: d", 2)),
    ],
)
def test_the_rest_is_refused(text, line):
    with pytest.raises(BadDocument, match=f"x: line {line} "):
        parse(text.encode(), "x")


@pytest.mark.parametrize("raw", [b"\xff", b"{", b"a:\n" * 20_000, b" " * (5 << 20)])
def test_nonsense_is_refused(raw):
    with pytest.raises(BadDocument):
        parse(raw, "x")
