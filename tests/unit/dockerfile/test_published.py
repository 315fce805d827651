"""The language against the published tables of BuildKit and patternmatcher."""

import json
import os
import posixpath
import re

import pytest

from lamina.dockerfile import directives, expand, expand_words, parse, parse_nodes
from lamina.dockerfile.glob import match
from lamina.dockerfile.heredoc import chomped
from lamina.dockerfile.ignore import IgnoreFile
from lamina.dockerfile.parser import Node, dump
from lamina.dockerfile.position import Position
from lamina.dockerfile.reading import Flags
from lamina.dockerfile.shellpattern import translate
from lamina.dockerfile.words import flags, words
from lamina.errors import DockerfileError

HERE = os.path.dirname(__file__)
TABLES = os.environ.get("LAMINA_FIXTURES", os.path.join(HERE, "../../../../shared/fixtures"))


def names(*path):
    """What a folder of the tables holds, when test cases are collected; nothing without them."""
    folder = os.path.join(TABLES, *path)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


@pytest.fixture
def read(published_tables):
    def read(path):
        with open(os.path.join(published_tables, path), encoding="utf-8") as file:
            return file.read()

    return read


@pytest.fixture
def table(read):
    return lambda path: json.loads(read(path))


def refuses(act, *args, **named):
    """Whether something raises `DockerfileError`."""
    try:
        act(*args, **named)
    except DockerfileError:
        return True
    return False


def first(dockerfile):
    """The one instruction of a text that lacks its FROM."""
    return parse("FROM scratch\n" + dockerfile).stages[0].instructions[0]


# --- the parser -------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("dockerfile/parser/testfiles"))
def test_a_file_becomes_the_published_nodes(read, name):
    nodes = parse_nodes(read(f"dockerfile/parser/testfiles/{name}/Dockerfile")).nodes
    wanted = read(f"dockerfile/parser/testfiles/{name}/result").strip().split("\n")
    assert [dump(node) for node in nodes] == wanted


@pytest.mark.parametrize("name", names("dockerfile/parser/testfiles-negative"))
def test_a_negative_file_is_refused(read, name):
    with pytest.raises(DockerfileError):
        parse(read(f"dockerfile/parser/testfiles-negative/{name}/Dockerfile"))


def test_line_ranges(read, table):
    nodes = parse_nodes(read("dockerfile/parser/testfile-line/Dockerfile")).nodes
    wanted = table("dockerfile/parser/testfile-line.expected.json")["children_line_ranges"]
    assert [[node.position.first, node.position.last] for node in nodes] == wanted


def test_heredocs(table):
    case = table("dockerfile/parser/heredocs.json")
    nodes = parse_nodes(case["dockerfile"]).nodes[1:]
    found = [[each._asdict() for each in node.heredocs] or None for node in nodes]
    assert found == case["heredocs"][: len(nodes)]
    assert not any(case["heredocs"][len(nodes) :])


def test_words(table):
    for case in table("dockerfile/parser/words.json"):
        assert words(case["input"]) == case["expect"]


def test_directives(table):
    for case in table("dockerfile/parser/directives.json")["cases"]:
        found = directives.find(case["key"], case["text"])
        assert (found and found.value) == case["value"], case
        assert not found or found.text == case.get("cmdline", found.text), case
        assert not found or found.line == case.get("line", found.line), case


def test_json_arrays(table):
    cases = table("dockerfile/parser/json_arrays.json")
    for text, wanted in cases["valid"].items():
        # An empty list is JSON, too, but CMD [] is the one instruction that says something by it.
        line = first(f"CMD {text}")
        assert (line.args, line.is_exec) == (tuple(wanted), True)
    for text in cases["invalid_not_string_array"]:
        assert refuses(parse, f"FROM a\nCMD {text}"), text


def test_empty_continuation_lines(table):
    case = table("dockerfile/parser/empty_continuation.json")
    parsed = parse_nodes(case["dockerfile"])
    assert [warning.rule for warning in parsed.warnings] == ["NoEmptyContinuation"] * 2
    lasts = {node.position.last: f"{node.name} {node.rest}" for node in parsed.nodes}
    assert [lasts[each.line] for each in parsed.warnings] == case["warning_contains"]


def test_the_longest_line(table):
    longest = table("dockerfile/parser/empty_continuation.json")["max_line_bytes"]
    assert parse("FROM a\nRUN " + "x" * (longest - 4))
    assert refuses(parse, "FROM a\nRUN " + "x" * (longest - 3))
    assert refuses(parse, "FROM a\nRUN " + "é" * (longest // 2))
    assert refuses(parse, "FROM a\nRUN <<E\n" + "x" * (longest + 1) + "\nE\n")


def test_every_file_of_the_lint_table_can_be_read(table):
    warnings, refused = {}, {}
    for case in table("dockerfile/lint/cases.json")["cases"]:
        try:
            warnings[case["id"]] = parse(case["dockerfile"]).warnings
        except DockerfileError as error:
            refused[case["id"]] = (error.brief, error.line)
    assert refused == {"testWarningsBeforeError": ("unknown instruction: BADCMD", 4)}
    lines = [(each.rule, each.line) for each in warnings["testNoEmptyContinuation"]]
    assert lines == [("NoEmptyContinuation", 6)]


# --- instructions -----------------------------------------------------------------------


def test_flags(table):
    kinds = {"b": "bool", "s": "text"}
    for case in table("dockerfile/instructions/flags.json")["cases"]:
        found, rest = flags(" ".join(case["args"]), "\\")
        assert rest == ""
        known = {name: kinds[kind] for name, kind in case["spec"].items()}
        node = Node("X", tuple(found), (), "", False, (), Position("f", 1, 1, "X"))
        assert refuses(Flags, node, known) != case["ok"], case
        for name, value in case.get("values", {}).items():
            given = Flags(node, known)
            assert (given.switch(name) if known[name] == "bool" else given.text(name)) == value


def test_copy_heredocs(table):
    for case in table("dockerfile/instructions/copy_heredoc.json"):
        copy = first(case["dockerfile"])
        assert (copy.target, list(copy.sources)) == (case["dest"], case["source_paths"])
        found = [
            {
                "path": each.name,
                "data": chomped(each.content) if each.chomp else each.content,
                "expand": each.expand,
            }
            for each in copy.heredocs
        ]
        assert found == case["source_contents"]


def test_run_heredocs(table):
    for case in table("dockerfile/instructions/run_heredoc.json"):
        run = first(case["dockerfile"])
        assert (list(run.args), not run.is_exec) == (case["cmdline"], case["prepend_shell"])
        found = [
            {"name": each.name, "data": each.content, "chomp": each.chomp} for each in run.heredocs
        ]
        assert found == case["files"]


def test_errors_of_one_instruction(table):
    for case in table("dockerfile/instructions/errors.json")["one_instruction_errors"]:
        with pytest.raises(DockerfileError) as caught:
            first(case["dockerfile"])
        # The published sentence, but for what it adds behind the first one.
        wanted = case["expectedError"].partition(", but only")[0]
        assert wanted.lower() in caught.value.brief.lower(), case


def test_lines_of_errors(table):
    for case in table("dockerfile/instructions/errors.json")["error_lines"]:
        wanted, text = case["error_lines"], case["dockerfile"]
        if case["name"] in ("invalidenv", "invalidflag"):
            with pytest.raises(DockerfileError) as caught:
                parse(text)
            assert [caught.value.line] == wanted
        else:  # what only a build would refuse: the lines of the instruction that it would name
            lines = [
                range(each.position.first, each.position.last + 1)
                for each in parse_nodes(text).nodes
            ]
            assert wanted in [list(each) for each in lines], case


# --- variables --------------------------------------------------------------------------


def test_variables(read):
    env = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
    wrong, tried = [], 0
    for line in read("dockerfile/shell/envVarTest").split("\n"):
        line = re.sub("^#.*", "", line)
        if not line.strip():
            continue
        platform, given, wanted = (field.strip() for field in line.split("|"))
        if platform == "W":
            continue
        tried += 1
        try:
            found = expand(given, env).text
        except DockerfileError:
            found = "error"
        if found != wanted:
            wrong.append((given, wanted, found))
    assert wrong == []
    assert tried > 200


def test_words_of_variables(read):
    env, wrong, tried = {}, [], 0
    for line in read("dockerfile/shell/wordsTest").split("\n"):
        if line.startswith("ENV "):
            key, _, value = line[4:].partition("=")
            env[key] = value
            continue
        if not line.strip() or line.startswith("#"):
            continue
        given, _, wanted = line.partition("|")
        tried += 1
        try:
            found = ",".join(expand_words(given.strip(" "), env))
        except DockerfileError:
            found = "error"
        if found != wanted.removeprefix(" "):
            wrong.append((given, wanted, found))
    assert wrong == []
    assert tried > 20


def test_one_word(table):
    cases = table("dockerfile/shell/process_word.json")["cases"]
    for case in cases:
        if case["error"]:
            assert refuses(expand, case["input"], case["env"]), case
            continue
        found = expand(case["input"], case["env"])
        assert found.text == case["expected"], case
        if case.get("check_matched"):
            assert found.used & case["env"].keys() == set(case["matched"]), case
            assert found.used - case["env"].keys() == set(case["unmatched"]), case
    assert len(cases) == 56


def test_shell_patterns(table):
    cases = table("dockerfile/shell/glob_to_regex.json")
    for pattern, wanted in cases["ok"].items():
        ours, theirs = re.compile(translate(pattern, greedy=True)), re.compile(wanted)
        for text in ("", "a", "*", "(()[]{}^$.*?|\\", "ab", "*x"):
            assert (ours.match(text) and ours.match(text)[0]) == (
                theirs.match(text) and theirs.match(text)[0]
            ), (pattern, text)
    for pattern in cases["invalid"]:
        assert refuses(translate, pattern, greedy=True), pattern


# --- patterns of names ------------------------------------------------------------------


def excludes(patterns, path):
    return IgnoreFile.of(patterns).excludes(posixpath.normpath(path))


def test_patterns(table):
    cases = table("patternmatcher/matches.json")
    for case in cases["single"]:
        assert excludes([case["pattern"]], case["text"]) == case["match"], case
    for case in cases["multi"]:
        assert excludes(case["patterns"], case["text"]) == case["match"], case
    for patterns in cases["pattern_errors"]:
        assert refuses(IgnoreFile.of, patterns), patterns


def test_compiled_patterns(table):
    """Each of the published expressions says of each text what ours says."""
    cases = table("patternmatcher/compile.json")["cases"]
    texts = [re.sub(r"[*?]+", fill, each["pattern"]) for each in cases for fill in ("", "x", "x/y")]
    for case in cases:
        ours = IgnoreFile.of([case["pattern"]])
        if case["kind"] == "exactMatch":
            theirs = re.compile(re.escape(case["pattern"]))
        elif case["kind"] == "regexpMatch":
            theirs = re.compile(case["regex"])
        else:
            continue
        for text in filter(None, (posixpath.normpath(each).lstrip("/") for each in texts)):
            parents = [text[:at] for at, char in enumerate(text) if char == "/"]
            wanted = any(theirs.fullmatch(each) for each in (text, *parents))
            assert ours.excludes(text) == wanted, (case, text)


def test_ignore_files(table):
    case = table("patternmatcher/ignorefile.json")
    text = "\ufeff" + case["content"]
    with pytest.raises(DockerfileError, match="illegal exclusion pattern") as caught:
        IgnoreFile.parse(text)
    assert caught.value.line == text.split("\n").index("!") + 1
    ignore = IgnoreFile.parse(text.removesuffix("!\n! "))
    for pattern in case["patterns"]:
        if not pattern.startswith("!"):
            assert ignore.excludes(pattern), pattern


def test_a_malformed_pattern_is_refused_again_and_again(table):
    case = table("patternmatcher/malformed_repeat.json")
    for _ in range(2):
        assert refuses(IgnoreFile.of, [case["pattern"]])


def test_go_filepath_match(table):
    cases = table("patternmatcher/go_filepath_match.json")
    for case in cases:
        pattern, text = case["pattern"], case["text"]
        assert refuses(match, pattern, text) == case["bad_pattern"], case
        assert refuses(IgnoreFile.of, [pattern]) == case["bad_pattern"], case
        if case["bad_pattern"]:
            continue
        assert excludes([pattern], text) == case["match"], case
        if (pattern, text) != ("a*", "ab/c"):  # fits its parent: patternmatcher's own rule
            assert match(pattern, text) == case["match"], case
    assert len(cases) > 50
