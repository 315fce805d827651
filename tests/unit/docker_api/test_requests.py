"""What clients send, in the dialects of Go's and Python's, and what is refused of it."""

import pytest

from lamina.docker_api.fields import Fields
from lamina.docker_api.request import Query, refuse_unknown
from lamina.errors import UsageError


@pytest.mark.parametrize("text", ["0", "False", "false", "no", "none", "None", "", "NO"])
def test_no_is_spelled_in_many_ways(text):
    assert Query(f"all={text}").flag("all") is False


@pytest.mark.parametrize("text", ["1", "True", "true", "yes", "on", "2"])
def test_anything_else_is_yes(text):
    assert Query(f"all={text}").flag("all") is True


def test_what_is_not_said_has_its_default():
    query = Query("")
    assert (query.flag("pause", True), query.flag("all"), query.number("t")) == (True, False, None)
    assert (query.text("x"), query.all("x"), query.filters()) == ("", [], {})


@pytest.mark.parametrize("text", ["", "null", "[]", "{}"])
def test_neutral_values_say_nothing(text):
    query = Query(f"filters={text}&n={text}&d={text}")
    assert (query.filters(), query.number("n"), query.document("d")) == ({}, None, None)


def test_of_several_values_the_first_counts():
    assert Query("dockerfile=a&dockerfile=b").text("dockerfile") == "a"
    assert Query("t=a&t=b&t=").all("t") == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        '{"label":{"a=b":true,"c":true,"d":false}}',
        '{"label":["a=b","c"]}',
    ],
)
def test_filters_have_two_dialects(text):
    assert Query(f"filters={text}").filters() == {"label": ("a=b", "c")}


def test_a_filter_may_be_one_value():
    assert Query('filters={"dangling":true}').filters() == {"dangling": ("true",)}
    assert Query('filters={"dangling":["true"]}').filters() == {"dangling": ("true",)}


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', '{"a":1.5}', "[" * 100_000])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(UsageError):
        Query(f"filters={text}").filters()


def test_an_unknown_filter_is_refused_by_name():
    with pytest.raises(UsageError, match="invalid filter 'nope'"):
        refuse_unknown({"nope": ("x",)}, ("label",))


@pytest.mark.parametrize("text", ["x", "1.5", "9" * 30 + "x"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UsageError):
        Query(f"t={text}").number("t")


def test_too_many_parameters_are_refused():
    with pytest.raises(UsageError):
        Query("&".join(f"a{number}=1" for number in range(2000)))


def test_fields_are_found_whatever_their_case():
    said = Fields({"detachKeys": "ctrl-a", "Cmd": None, "cmd": ["x"]})
    assert said.text("DetachKeys") == "ctrl-a"
    assert said.texts("Cmd") == ("x",)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (lambda said: said.text("x"), 1),
        (lambda said: said.flag("x"), "yes"),
        (lambda said: said.number("x"), True),
        (lambda said: said.number("x"), "1"),
        (lambda said: said.texts("x"), [1]),
        (lambda said: said.mapping("x"), {"a": 1}),
        (lambda said: said.names("x"), ["a"]),
        (lambda said: said.within("x"), []),
        (lambda said: said.each("x"), [1]),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(call, value):
    with pytest.raises(UsageError, match="x in the request is not"):
        call(Fields({"x": value}))


def test_what_is_null_is_not_said():
    said = Fields({"x": None})
    assert (said.text("x"), said.flag("x"), said.number("x"), said.texts("x")) == ("", False, 0, ())
    assert (said.texts_or_none("x"), said.mapping("x"), said.names("x")) == (None, {}, ())
    assert said.within("x").text("y") == ""


@pytest.mark.parametrize("value", [None, [], [1], ["a", "b"], "80x24"])
def test_a_size_that_is_none_is_nothing(value):
    assert Fields({"ConsoleSize": value}).size("ConsoleSize") == (0, 0)


def test_a_size_is_kept_within_bounds():
    assert Fields({"ConsoleSize": [24, 1 << 40]}).size("ConsoleSize") == (24, 65535)
