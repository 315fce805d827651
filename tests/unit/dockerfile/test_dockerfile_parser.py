"""From text to instructions: builder rules 1 to 18, and what errors point at."""

import subprocess
import sys

import pytest

from lamina.dockerfile import Add, Copy, From, Onbuild, Run, parse, parse_fragment, parse_nodes
from lamina.dockerfile.heredoc import chomped, openings
from lamina.errors import DockerfileError


def stage(text):
    """The instructions behind FROM."""
    return parse("FROM scratch\n" + text).stages[0].instructions


def only(text):
    (line,) = stage(text)
    return line


def failure(text):
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return caught.value


def pointed(error):
    """The words of the excerpt above the caret."""
    rows = error.excerpt.split("\n")
    below = next(at for at, row in enumerate(rows) if row.startswith("     |     ") and "^" in row)
    shown, caret = rows[below - 1 : below + 1]
    start, width = caret.index("^"), caret.count("^")
    return shown[start : start + width]


# --- directives -------------------------------------------------------------------------


def test_escape_is_a_backtick_when_the_file_says_so():
    """1, 26."""
    file = parse("# escape=`\nFROM a\nRUN dir c:\\ `\n  x\n")
    assert file.escape == "`"
    assert file.stages[0].instructions[0].args == ("dir c:\\   x",)


@pytest.mark.parametrize(
    "before", ["\n", "# a comment\n", "# unknown=x\n", "FROM a\n", "#!/usr/bin/x\n"]
)
def test_escape_is_only_looked_for_at_the_very_top(before):
    """1, 2: a #! line ends the hunt for escape, too."""
    assert parse(before + "# escape=`\nFROM a\n").escape == "\\"


def test_directives_are_found_behind_a_byte_order_mark_and_in_any_case():
    assert parse("\ufeff#EsCaPe = `  \r\nFROM a\r\n").escape == "`"


def test_a_directive_comes_once():
    error = failure("# syntax=a\n# escape=`\n# SYNTAX=b\nFROM a\n")
    assert (error.brief, error.line) == ("only one syntax parser directive can be used", 3)
    assert pointed(error) == "b"


def test_an_impossible_escape_is_pointed_at():
    error = failure("# syntax=x\n#  escape = ab\nFROM a\n")
    assert (error.line, error.column, pointed(error)) == (2, 13, "ab")


# --- lines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("RUN a \\\n  b", "a   b"),  # 3: white space of a continuation line stays
        ("  \t RUN a\\\nb", "ab"),
        ("RUN a \\  \t\nb", "a b"),  # 5: blanks behind the mark
        ("RUN a \\\n# gone\n   # gone, too\nb", "a b"),  # 4
        ("RUN a \\\n\n\nb", "a b"),
        ("RUN a \\\\\n", "a \\\\"),  # 5: the mark is escaped
        ("RUN a # b \\\n c", "a # b  c"),  # 6: only a comment at its line's start is one
        ("RUN a \\", "a"),  # 5: tolerated on the very last line
        ("RUN a \\\n", "a"),
        ("RUN \\\n\\\n a", "a"),  # a line of nothing but the mark
        ("\\\nRUN a", "a"),
        ("RUN a \\\r\nb\r\n", "a b"),
        ("run a", "a"),
        ("RUN a\u00a0b", "a\u00a0b"),
    ],
)
def test_lines_are_joined(text, args):
    assert only(text).args == (args,)


def test_a_comment_cannot_be_continued():
    """6."""
    assert [each.args for each in stage("# a \\\nRUN b")] == [("b",)]


def test_an_instruction_knows_its_lines_and_its_text():
    """18."""
    found = stage("\n  RUN a \\\n# c\n  b\n\nCOPY <<E /x\nbody\nE\n\n")
    places = [each.position[1:4] for each in found]
    assert places == [(3, 5, "  RUN a \\\n# c\n  b"), (7, 9, "COPY <<E /x\nbody\nE")]


@pytest.mark.parametrize("text", ["\\", "FROM a\n\\\n", "FROM a\n\\\n\n# c\n", "FROM a\n \\\n\\"])
def test_a_continuation_of_nothing_is_refused(text):
    assert "continuation mark" in failure(text).brief


def test_an_empty_continuation_line_is_a_warning():
    """4."""
    file = parse("FROM a\nRUN b \\\n\n  c\nRUN d \\\n  e\n")
    assert [each[:2] for each in file.warnings] == [(4, "NoEmptyContinuation")]
    assert parse("FROM a\nRUN b \\\n").warnings == ()


@pytest.mark.parametrize(
    "text", ["", "\n \n", "# only\n# comments\n", "\ufeff", "ARG a\n", "ARG a=1\n# c"]
)
def test_a_file_without_a_stage_is_refused(text):
    assert failure(text).hint == "begin with FROM"


def test_only_arg_stands_before_from():
    error = failure("ARG a\nRUN b\nFROM c\n")
    assert (error.line, pointed(error)) == (2, "RUN")


# --- JSON and words ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args", "is_exec"),
    [
        ('RUN ["a", "b c"]', ("a", "b c"), True),
        ('RUN  [ "a" ]  ', ("a",), True),
        ("RUN [\"a\", 'b']", ("[\"a\", 'b']",), False),
        ('RUN ["a"] && b', ('["a"] && b',), False),
        ("RUN [NaN]", ("[NaN]",), False),  # Python's own, no JSON
        ("RUN " + "[" * 5000, ("[" * 5000,), False),
        ("CMD []", (), True),
        ('CMD ["\\ud83d\\ude00 \\ud800"]', ("😀 \ufffd",), True),
    ],
)
def test_json_is_tried_first(text, args, is_exec):
    """10."""
    line = only(text)
    assert (line.args, line.is_exec) == (args, is_exec)


@pytest.mark.parametrize("item", ["1", "null", "true", '["a"]', "{}", "1.5e3"])
def test_only_strings_stand_in_a_list(item):
    """10."""
    assert "only string" in failure(f'FROM a\nCMD ["a", {item}]').brief


@pytest.mark.parametrize(
    "text",
    [
        "RUN [\"a\", 'b']",
        "CMD ['nginx']",
        "CMD [nginx, -g]",
        'ENTRYPOINT ["a", "b"',
        'COPY ["a", "b",] /c',
    ],
)
def test_what_was_meant_to_be_json_is_warned_of(text):
    warnings = parse("FROM x\n" + text).warnings
    assert [each[:2] for each in warnings] == [(2, "JSONArgsRecommended")]


@pytest.mark.parametrize(
    "text",
    [
        'RUN [ "$a" = "b" ] && c',
        "RUN [ -f /x ] || exit 1",
        "RUN [[ $a == b ]]",
        'RUN ["a"]',
        "COPY [abc] /x",
        "CMD a",
    ],
)
def test_what_was_not_is_not(text):
    assert parse(f"FROM x\n{text}").warnings == ()


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a=1 b=2", (("a", "1"), ("b", "2"))),
        ("ENV a b=c", (("a", "b=c"),)),  # 11: the old form
        ("ENV a  b  c ", (("a", "b  c"),)),
        ('ENV a="x y" b=z\\ w', (("a", '"x y"'), ("b", "z\\ w"))),
        ("ENV a='x \\' b=1", (("a", "'x \\'"), ("b", "1"))),
        ('ENV a="x \\" y" b=', (("a", '"x \\" y"'), ("b", ""))),
        ("ENV a==", (("a", "="),)),
        ("ENV a=b\\\\\\", (("a", "b\\\\"),)),  # an escape of nothing vanishes
        ("LABEL a.b=c 'd e'=f", (("a.b", "c"), ("'d e'", "f"))),
        ("ARG a b=1 c=", (("a", None), ("b", "1"), ("c", ""))),  # 12
    ],
)
def test_keys_and_values(text, pairs):
    assert only(text).pairs == pairs


@pytest.mark.parametrize(
    "text", ["ENV a", "ENV a=1 b", "ENV =1", "ENV", "LABEL", "LABEL a=1 =2", "ARG", "ARG =a"]
)
def test_keys_without_values_are_refused(text):
    """11."""
    assert failure(f"FROM a\n{text}").line == 2


def test_the_rest_of_the_line_is_one_argument():
    """13."""
    found = stage("WORKDIR /a b\nUSER a b\nSTOPSIGNAL x y\nMAINTAINER a <b@c>\n")
    assert [each[1] for each in found] == ["/a b", "a b", "x y", "a <b@c>"]


def test_a_no_break_space_parts_no_words():
    assert only("COPY a\u00a0b /c").sources == ("a\u00a0b",)


# --- flags ------------------------------------------------------------------------------


def test_flags_are_typed():
    """9."""
    text = (
        "COPY --from=x --chown=1:2 --chmod=755 --link --parents=TRUE --exclude=a --exclude='b c'"
        " s1 s2 /d"
    )
    assert only(text)[1:] == (
        ("s1", "s2"), "/d", (), "x", "1:2", "755", True, True, ("a", "b c"),
    )  # fmt: skip
    found = only("ADD --checksum=c --keep-git-dir=true --unpack=false --link=false u /d")
    assert found == Add(found.position, ("u",), "/d", (), "", "", False, (), "c", True, False)
    assert only("ADD a b").unpack is None
    run = only(
        "RUN --mount=type=bind,target=/a --mount=type=tmpfs,target=/t --network=none --device=d x"
    )
    assert run[1:] == (
        ("x",), False, (), ("type=bind,target=/a", "type=tmpfs,target=/t"), "none", "", ("d",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY -- --from=x /d", ("--from=x",)),
        ("COPY a --from=x /d", ("a", "--from=x")),
        ("COPY --from=\\x a /d", ("a",)),
    ],
)
def test_flags_stand_first(text, sources):
    """9."""
    assert only(text).sources == sources


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--form=x", "unknown flag: --form; did you mean --from?"),
        ("--from", "missing a value"),
        ("--from=a --from=b", "duplicate flag"),
        ("--link=maybe", "boolean"),
        ("--link=", "boolean"),
    ],
)
def test_wrong_flags_are_refused(flag, says):
    error = failure(f"FROM a\nCOPY {flag} a b")
    assert says in str(error)
    assert error.line == 2


@pytest.mark.parametrize("name", ["WORKDIR", "USER", "ENV", "CMD", "EXPOSE", "SHELL", "MAINTAINER"])
def test_most_instructions_have_no_flags(name):
    assert "unknown flag: --x" in str(failure(f"FROM a\n{name} --x a=b"))


# --- FROM -------------------------------------------------------------------------------


def test_stages():
    file = parse(
        "ARG v=1\nFROM --platform=$BUILDPLATFORM a:$v AS Base\nRUN x\nfrom base as two\nFROM scratch"
    )
    assert [each.pairs for each in file.args] == [(("v", "1"),)]
    found = [
        (each.number, each.name, each.base.image, len(each.instructions)) for each in file.stages
    ]
    assert found == [(0, "base", "a:$v", 1), (1, "two", "base", 0), (2, "", "scratch", 0)]
    assert file.stages[0].base.platform == "$BUILDPLATFORM"
    assert isinstance(file.stages[0].base, From)


@pytest.mark.parametrize(
    "operands", ["", "a b", "a AS", "a AS b c", "a IS b", "a AS 1b", "a AS b/c", "a AS é"]
)
def test_bad_stages_are_refused(operands):
    """14."""
    assert failure(f"FROM {operands}").line == 1


@pytest.mark.parametrize("line", ["FROM xxx #comment", "FROM xxx # a", "FROM xxx AS y # why not"])
def test_a_comment_must_start_its_line(line):
    error = failure(f"ARG a\n{line}\nRUN b\n")
    assert error.brief == "a comment must start its line"
    assert error.line == 2
    assert error.column == line.index("#") + 1
    assert pointed(error).startswith("#")
    assert str(error).startswith("Dockerfile:2: a comment must start its line; move '#")


# --- here-documents ---------------------------------------------------------------------


def test_a_body_is_taken_as_it_stands():
    """15."""
    body = "# no comment\n\n  RUN x \\\n$a 'b \"c\n\tEOF\nEOF \n"
    copy = only(f"COPY <<EOF /x\n{body}EOF\n")
    assert [each.content for each in copy.heredocs] == [body]


def test_line_ends_of_a_body_stay():
    copy = only("COPY <<EOF /x\r\na\r\nb\nEOF\r\n")
    assert copy.heredocs[0].content == "a\r\nb\n"


def test_leading_tabs_are_cut_on_request():
    """15."""
    copy = only("COPY <<-EOF /x\n\t\ta\n\t b\tc\n \td\n\tEOF\n")
    (body,) = copy.heredocs
    assert chomped(body.content) == "a\n b\tc\n \td\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("<<EOF", [("EOF", True, False, 0)]),
        ("a <<EOF > b", [("EOF", True, False, 0)]),
        ("<<-EOF <<'F' 3<<\"G\"", [("EOF", True, True, 0), ("F", False, False, 0), ("G", False, False, 3)]),
        ("<< EOF", [("EOF", True, False, 0)]),
        ("<<E\"O\"F", [("EOF", False, False, 0)]),
        ("<<E\\ F", [("E F", True, False, 0)]),
        ("<<'one two'", [("one two", False, False, 0)]),
        ("<<- EOF", []),  # the blank has to follow << itself
        ("<<<EOF", []),
        ("<<< EOF", []),
        ("<<< <<EOF", [("EOF", True, False, 0)]),
        ("a<<EOF", []),
        ("'<<EOF'", []),
        ('"a <<EOF"', []),
        ("\\<<EOF", []),
        ("<<", []),
        ("<<''", []),
        ("<<'EOF", []),
        ("<<'a<b'", []),
        ("1 << 2", [("2", True, False, 0)]),  # BuildKit takes it for one, too
        ("٣<<EOF", []),
        ("9999999999<<EOF", []),
    ],
)  # fmt: skip
def test_openings(line, found):
    """15."""
    assert [(each.name, each.expand, each.chomp, each.fd) for each in openings(line)] == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("RUN <<E\nE", 1),
        ("ADD <<E <<F /x\nE\nF", 2),
        ("ONBUILD RUN <<E\nE", 1),
        ('RUN ["<<E"]', 0),
        ("CMD <<E", 0),
        ("USER <<E", 0),
        ("LABEL a=<<E", 0),
    ],
)
def test_only_some_instructions_take_them(text, count):
    """15."""
    assert len(parse_nodes("FROM a\n" + text).nodes[1].heredocs) == count


def test_an_open_body_is_refused():
    error = failure("FROM a\nRUN b\nCOPY \\\n  <<EOF /x\nc\nEOF2\n")
    assert "EOF is never closed" in error.brief
    assert (error.line, pointed(error)) == (4, "<<")


@pytest.mark.parametrize("name", ["COPY", "ADD"])
def test_a_heredoc_is_no_destination(name):
    """16."""
    error = failure(f"FROM a\n{name} x <<EOF\nEOF\n")
    assert error.brief == f"{name} cannot accept a heredoc as a destination"


def test_a_quoted_name_in_json_is_a_file():
    copy = only('COPY ["<<EOF", "/x"]')
    assert (copy.sources, copy.heredocs) == (("<<EOF",), ())


# --- the other instructions -------------------------------------------------------------


def test_onbuild_keeps_its_text_with_its_bodies():
    """74."""
    line = only("ONBUILD  COPY <<E <<F /x\na\nE\nb\nF\n")
    assert isinstance(line, Onbuild)
    assert line.text == "COPY <<E <<F /x\na\nE\nb\nF"
    again = parse_fragment(line.text)
    assert isinstance(again, Copy)
    assert [each.content for each in again.heredocs] == ["a\n", "b\n"]


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ("FROM a", "FROM isn't allowed"),
        ("maintainer a", "MAINTAINER isn't allowed"),
        ("ONBUILD RUN a", "chaining"),
        ("RNU a", "unknown instruction: RNU; did you mean RUN?"),
        ("COPY a", "at least two"),
        ("COPY --nope=1 a b", "unknown flag"),
        ("# a", "no instructions"),
    ],
)
def test_a_trigger_that_could_never_run_is_refused_at_once(trigger, says):
    """74."""
    error = failure(f"FROM a\nRUN x\nONBUILD {trigger}")
    assert says in str(error)
    assert error.line == 3


def test_healthcheck():
    """72."""
    line = only("HEALTHCHECK --interval=5s --start-interval=1s --retries=3 CMD curl -f x")
    options = (("interval", "5s"), ("start-interval", "1s"), ("retries", "3"))
    assert line[1:] == ("CMD", ("curl -f x",), False, options)
    assert only('HEALTHCHECK cmd ["a", "b"]')[1:4] == ("CMD", ("a", "b"), True)
    assert only("HEALTHCHECK none")[1:3] == ("NONE", ())


@pytest.mark.parametrize(
    "text",
    ["", "CMD", "NONE a", "RUN a", "CMD []", "--nope=1 CMD a", "--interval CMD a", "CMD [1]"],
)
def test_bad_healthchecks_are_refused(text):
    assert failure(f"FROM a\nHEALTHCHECK {text}").line == 2


@pytest.mark.parametrize(
    "text",
    [
        "SHELL /bin/sh", "SHELL []", "SHELL", "VOLUME", 'VOLUME [""]', "EXPOSE", "RUN", "USER",
        "WORKDIR", "STOPSIGNAL", "MAINTAINER", "COPY", "COPY a", "ADD a", 'COPY ["a"]', "ONBUILD",
    ],
)  # fmt: skip
def test_what_lacks_its_operands_is_refused(text):
    assert failure(f"FROM a\n{text}\n").line == 2


def test_a_fragment_is_one_instruction():
    assert isinstance(parse_fragment("RUN a"), Run)
    with pytest.raises(DockerfileError, match="one instruction"):
        parse_fragment("RUN a\nRUN b")
    with pytest.raises(DockerfileError, match="no instructions"):
        parse_fragment("")


# --- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "hint"),
    [("RNU", "RUN"), ("FORM", "FROM"), ("entrypont", "ENTRYPOINT"), ("COPPY", "COPY")],
)
def test_a_misspelt_instruction_has_a_suggestion(word, hint):
    """8."""
    error = failure(f"FROM a\n  {word} b\n")
    assert error.brief == f"unknown instruction: {word}"
    assert error.hint == f"did you mean {hint}?"
    assert (error.line, error.column, pointed(error)) == (2, 3, word)


def test_an_error_names_the_file_and_the_line_of_the_word():
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nENV a=1 \\\n\tb=2 \\\n\tcd\n", filename="x/My.Dockerfile")
    error = caught.value
    assert (error.file, error.line, error.column) == ("x/My.Dockerfile", 4, 2)
    assert error.excerpt.split("\n") == [
        "x/My.Dockerfile:4",
        "-" * 20,
        "   1 |     FROM a",
        "   2 | >>> ENV a=1 \\",
        "   3 | >>> \tb=2 \\",
        "   4 | >>> \tcd",
        "     |     \t^^",  # the tab keeps the caret in its place
        "-" * 20,
    ]
    assert str(error).startswith("x/My.Dockerfile:4: ")


def test_an_excerpt_fits_a_screen_and_steers_no_terminal():
    line = "COPY " + "a " * 2000 + "\x1b[31m <<E"
    error = failure(f"FROM a\n{line}\nE\n")
    assert all(len(each) < 150 for each in error.excerpt.split("\n"))
    assert "\x1b" not in error.excerpt
    assert pointed(error) == "<<E"


def test_an_excerpt_shows_what_stands_around():
    """Two lines around a single one and one around several, as BuildKit has it."""
    text = "FROM a\r\n#\n\n\nUSER\n# b\n# c\n# d\n"
    rows = failure(text).excerpt.split("\n")
    assert rows[2:-1] == ["   3 |", "   4 |", "   5 | >>> USER", "   6 |     # b", "   7 |     # c"]
    rows = failure("FROM a\n#\nENV \\\n a\n# b\n# c").excerpt.split("\n")
    assert rows[2:-1] == ["   2 |     #", "   3 | >>> ENV \\", "   4 | >>>  a", "   5 |     # b"]


def test_an_excerpt_of_a_long_instruction_shows_its_ends_and_what_is_meant():
    values = "".join(f"a{number}=1 \\\n" for number in range(2, 1000))
    rows = failure(f"FROM a\nENV a=1 \\\n{values}nothing \\\n{values}b=1\n").excerpt.split("\n")
    assert rows[2:12] == [
        "    1 |     FROM a",
        "    2 | >>> ENV a=1 \\",
        *(f"{number:5d} | >>> a{number - 1}=1 \\" for number in range(3, 10)),
        "  ... |",
    ]
    assert rows[12:15] == [" 1001 | >>> nothing \\", "      |     ^^^^^^^", "  ... |"]
    assert rows[15].endswith("| >>> a998=1 \\")
    assert len(rows) == 19


def test_a_huge_file_is_refused():
    assert "larger than 16 MiB" in failure("FROM a\n" + "#" * (16 << 20)).brief


def test_a_long_file_is_read():
    file = parse("FROM a\n" + "ENV a=b\n" * 20000)
    assert len(file.stages[0].instructions) == 20000


def test_the_language_needs_no_heavy_module():
    """Commands that start fast read Dockerfile fragments, too."""
    heavy = "{'dataclasses', 'pathlib', 'difflib', 'subprocess', 'inspect', 'shutil', 'logging'}"
    code = f"import sys, lamina.dockerfile; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_unterminated_heredoc_points_at_what_opens_it_alone():
    """And not at the bodies before it, which were put together once for each of them."""
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nRUN <<A <<B\nx\nA\ny\n")
    assert caught.value.brief == "unterminated heredoc: B is never closed"
    marked = [row for row in caught.value.excerpt.split("\n") if " | >>> " in row]
    assert marked == ["   2 | >>> RUN <<A <<B"]
