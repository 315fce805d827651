"""What holds for any text: nothing but `DockerfileError` comes out, and places are real."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.dockerfile import expand, expand_words, parse, parse_fragment, parse_nodes
from lamina.dockerfile.heredoc import openings
from lamina.dockerfile.words import words
from lamina.errors import DockerfileError

names = st.sampled_from(
    ["FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME",
     "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK", "STOPSIGNAL", "ONBUILD", "MAINTAINER", "from",
     "NOPE", "#", "# escape=`", "# syntax=x", "ONBUILD COPY"]
)  # fmt: skip
pieces = st.sampled_from(
    ["\\", "`", "\n", "\r\n", " ", "\t", '"', "'", "[", "]", ",", "=", "$", "{", "}", "--", "<<E",
     "<<-'E'", "E\n", "#", "AS", "scratch", "a", "--from=x", "${a:-b}", '["a", "b"]', "\x00", "\x1b",
     "é", "\u2028", "\xa0", "\ufeff", "\ud800", "\udcff"]
)  # fmt: skip
texts = st.lists(st.one_of(names, pieces, st.just(" "), st.text(max_size=3)), max_size=40).map(
    "".join
)
lines = st.lists(
    st.tuples(names, st.lists(pieces, max_size=8).map("".join)).map(" ".join), max_size=8
).map("\n".join)


@settings(max_examples=500)
@given(st.one_of(texts, lines, lines.map(lambda text: "FROM a\n" + text)))
def test_any_text_is_read_or_refused(text):
    try:
        file = parse(text)
    except DockerfileError as caught:
        error = caught
    else:
        check_places(file)
        return
    assert error.brief
    assert 0 <= error.line <= text.count("\n") + 1
    if error.line:
        title, rule, *rows, end = error.excerpt.split("\n")
        assert title == f"Dockerfile:{error.line}"
        assert rule == end == "-" * 20
        assert any(row.startswith(f" {error.line:3d} | >>>") for row in rows)
        assert all(char.isprintable() or char == "\t" for row in rows for char in row)
        assert str(error).startswith(f"Dockerfile:{error.line}: ")


def check_places(file):
    """Stages and instructions stand one after the other."""
    assert file.stages
    last = 0
    for stage in file.stages:
        for each in (stage.base, *stage.instructions):
            assert last < each.position.first <= each.position.last
            last = each.position.last


@given(lines)
def test_what_was_read_stands_where_it_says(text):
    try:
        nodes = parse_nodes("FROM a\n" + text).nodes
    except DockerfileError:
        return
    source = ("FROM a\n" + text).split("\n")
    for node in nodes:
        place = node.position
        shown = "\n".join(line.rstrip("\r") for line in source[place.first - 1 : place.last])
        assert shown == place.source


@settings(max_examples=500)
@given(
    st.lists(st.one_of(pieces, st.sampled_from([*":-+?#%/", "//", "$a", "${", "}"])), max_size=20),
    st.dictionaries(
        st.sampled_from(["a", "b", "é", "1", "?"]), st.text("ab*?\\/ '\"$", max_size=8)
    ),
    st.sampled_from("\\`"),
    st.booleans(),
)
def test_any_word_is_expanded_or_refused(parts, env, escape, raw):
    text = "".join(parts)
    try:
        found = expand(text, env, escape=escape, raw=raw)
        assert found.undefined <= found.used - env.keys()
    except DockerfileError:
        pass
    try:
        assert all(expand_words(text, env, escape=escape))
    except DockerfileError:
        pass


@given(st.text("ab $'\"\\{}", max_size=20))
def test_quoted_text_comes_back_as_it_is(text):
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert expand(quoted, {}).text == text
    assert expand_words(quoted, {}) == ([text] if text else [])
    assert words(f"x={quoted} y") == [f"x={quoted}", "y"]


@given(st.text("ab '\"\\", max_size=20))
def test_words_fall_apart_once(text):
    once = words(text)
    assert words(" ".join(once)) == once


body_lines = st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=10), max_size=6)


@given(body_lines, st.booleans())
def test_a_body_comes_back_as_it_is(body, chomp):
    content = "".join(f"{line}\n" for line in body if line.lstrip("\t") != "END")
    text = f"FROM a\nCOPY <<{'-' * chomp}'END' /x\n{content}END\nUSER u\n"
    copy, user = parse(text).stages[0].instructions
    assert [each.content for each in copy.heredocs] == [content]
    assert user.position.first == content.count("\n") + 4


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1))
def test_a_json_list_comes_back_as_it_is(args):
    # JSON itself leaves no character that could end the line or continue it.
    for text in (json.dumps(args), json.dumps(args, separators=(" , ", ":"))):
        cmd = parse_fragment(f"CMD {text}")
        assert (cmd.args, cmd.is_exec) == (tuple(args), True)


@given(st.text("<-'\"\\ 3EO|$", max_size=20))
def test_any_line_opens_heredocs_or_not(text):
    for opened in openings(text):
        assert opened.name
        assert "<" not in opened.name
