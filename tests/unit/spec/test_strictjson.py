"""JSON from outside: what two readers could read differently is refused in one sentence."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.errors import BadDocument
from lamina.spec import strictjson

SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES))
def test_what_json_means_is_what_is_read(document):
    # "\ud800" alone is no text at all; it becomes what Go makes of it
    assert strictjson.parse(json.dumps(document).encode(), "it") == _as_utf8(document)


def _as_utf8(value):
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_as_utf8(item) for item in value]
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
    return value


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES))
def test_canonical_bytes_are_stable_and_mean_the_same(document):
    raw = strictjson.dump(document)
    again = strictjson.parse(raw, "it")
    assert again == _as_utf8(document)
    assert strictjson.dump(again) == raw
    assert b"\n" not in raw.replace(b"\\n", b"")


REFUSED = {
    "a list": (b"[]", "not a JSON object"),
    "a string": (b'"x"', "not a JSON object"),
    "nothing": (b"", "not JSON"),
    "only blanks": (b"  \n", "not JSON"),
    "cut off": (b'{"a":', "not JSON"),
    "two documents": (b"{}{}", "not JSON"),
    "something behind": (b"{} x", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": ('{"a":1}'.encode("utf-16-le"), "not JSON"),
    "UTF-32": ('{"a":1}'.encode("utf-32"), "not UTF-8"),
    "Latin-1": (b'{"a":"\xe9"}', "not UTF-8"),
    "a key twice": (b'{"a":1,"a":2}', "the key 'a' more than once"),
    "a key twice further in": (b'{"x":[{"b":1,"c":2,"b":1}]}', "the key 'b' more than once"),
    "a key twice by escape": (b'{"ab":1,"\\u0061b":2}', "the key 'ab' more than once"),
    "keys that are no text": (b'{"\\ud800":1,"\\ud801":2}', "more than once"),
    "NaN": (b'{"a":NaN}', "NaN"),
    "Infinity": (b'{"a":-Infinity}', "-Infinity"),
    "a number out of bounds": (b'{"a":1e999}', "out of all bounds"),
    "a number of many digits": (b'{"a":' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    "a control character": (b'{"a":"\x01"}', "not JSON"),
    "single quotes": (b"{'a':1}", "not JSON"),
    "a comment": (b'{"a":1} // x', "not JSON"),
    "deep lists": (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "nested more than 64 deep"),
    "deep objects": (b'{"a":' * 70 + b"1" + b"}" * 70, "nested more than 64 deep"),
    "deep, hidden by strings": (
        b'{"s":"' + b"]" * 100 + b'","a":' + b"[" * 70 + b"]" * 70 + b"}",
        "nested more than 64 deep",
    ),
    "very deep": (b"[" * (1 << 20), "nested more than 64 deep"),
    "too large": (b'{"a":"' + b"x" * strictjson.LIMIT + b'"}', "more than the 4194304 allowed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    raw, wanted = REFUSED[name]
    with pytest.raises(BadDocument) as caught:
        strictjson.parse(raw, "manifest")
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("the manifest ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_brackets_within_strings_are_no_depth():
    assert strictjson.parse(b'{"a":"' + b"[{" * 500 + b'\\"["}', "it")["a"].startswith("[{")


def test_a_list_is_one_list():
    assert strictjson.parse_list(b' [1, {"a": 2}] ', "it") == [1, {"a": 2}]
    for raw in (b"{}", b'[],"b":[]', b"[]}{", b"[1", b"[] []", b"null"):
        with pytest.raises(BadDocument):
            strictjson.parse_list(raw, "it")


@pytest.mark.parametrize(
    "raw",
    [
        b"[{" * 40 + b'"' + b'\\"' * ((strictjson.LIMIT - 100) // 2),
        b'"' * (strictjson.LIMIT - 100) + b"[" * 70,
        b"\\" * (strictjson.LIMIT - 100) + b"[" * 70,
        b"[" + b"{}," * (strictjson.LIMIT // 3 - 1),
    ],
    ids=["escaped quotes", "quotes", "backslashes", "objects"],
)
def test_the_largest_nonsense_takes_little_memory(raw):
    """Each would take minutes, were any part of the reading quadratic."""
    tracemalloc.start()
    with pytest.raises(BadDocument):
        strictjson.parse(raw, "it")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20


@pytest.mark.parametrize("value", ["Layers", "LAYERS", "layer\u017f", "layerS"])
def test_a_key_that_go_takes_for_another_is_refused(value):
    with pytest.raises(BadDocument, match="some readers take for another"):
        strictjson.refuse_lookalikes({"config": 1, value: []}, ("layers", "config"), "manifest")
    strictjson.refuse_lookalikes({"layers": [], "stranger": 1}, ("layers", "config"), "manifest")


NOT_A = {
    "text": (strictjson.text, [1, True, [], {}, 1.5, "a\0b"]),
    "whole": (strictjson.whole, ["1", True, -1, 1.0, 1 << 62, [], {}]),
    "texts": (strictjson.texts, ["x", 1, {}, [1], [None], [["x"]], ["a\0b"]]),
    "text_map": (strictjson.text_map, ["x", 1, [], {"a": 1}, {"a": None}, {"a": "\0"}, {"\0": ""}]),
    "keys": (strictjson.keys, ["x", 1, [], {"a\0": {}}]),
    "objects": (strictjson.objects, ["x", 1, {}, [1], [None], [[]]]),
    "mapping": (strictjson.mapping, ["x", 1, [], True]),
}


@pytest.mark.parametrize("name", NOT_A)
def test_every_wrong_type_is_named(name):
    read, wrong = NOT_A[name]
    for value in wrong:
        with pytest.raises(BadDocument, match="field of the thing"):
            read({"field": value}, "field", "thing")
    for absent in ({}, {"field": None}):
        assert read(absent, "field", "thing") in ("", 0, None, (), {})


def test_a_key_twice_among_very_many_is_found_without_comparing_each_with_each():
    keys = ",".join(f'"k{number}":0' for number in range(100_000))
    with pytest.raises(BadDocument, match="'k99999' more than once"):
        strictjson.parse(f'{{{keys},"k99999":0}}'.encode(), "document")
