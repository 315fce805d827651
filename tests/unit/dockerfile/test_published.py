"""The language against the published tables of BuildKit, patternmatcher and reference."""

import json
import os
import re

import pytest

from lamina.dockerfile import parse, parse_nodes
from lamina.dockerfile.expand import expand, expand_words
from lamina.dockerfile.ignore import IgnoreFile
from lamina.dockerfile.parser import dump, words
from lamina.errors import DockerfileError, InvalidReference
from lamina.values.reference import Reference

_HERE = os.path.dirname(__file__)
_TABLES = os.environ.get("LAMINA_FIXTURES", os.path.join(_HERE, "../../../../shared/fixtures"))


def cases(*path: str) -> list[str]:
    folder = os.path.join(_TABLES, *path)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def text(published: str, *path: str) -> str:
    with open(os.path.join(published, *path), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("name", cases("dockerfile/parser/testfiles"))
def test_parser(published_tables: str, name: str) -> None:
    folder = ("dockerfile/parser/testfiles", name)
    parsed = parse_nodes(text(published_tables, *folder, "Dockerfile"))
    expected = text(published_tables, *folder, "result").strip().split("\n")
    assert [dump(node) for node in parsed.nodes] == expected


@pytest.mark.parametrize("name", cases("dockerfile/parser/testfiles-negative"))
def test_parser_refuses(published_tables: str, name: str) -> None:
    with pytest.raises(DockerfileError):
        parse(text(published_tables, "dockerfile/parser/testfiles-negative", name, "Dockerfile"))


def test_heredocs(published_tables: str) -> None:
    table = json.loads(text(published_tables, "dockerfile/parser/heredocs.json"))
    nodes = parse_nodes(table["dockerfile"]).nodes[1:]
    for node, expected in zip(nodes, table["heredocs"], strict=False):
        found = [each._asdict() for each in node.heredocs] or None
        assert found == expected, node.position.source


def test_words(published_tables: str) -> None:
    for case in json.loads(text(published_tables, "dockerfile/parser/words.json")):
        assert words(case["input"]) == case["expect"]


def test_variables(published_tables: str) -> None:
    env = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
    wrong = []
    for line in text(published_tables, "dockerfile/shell/envVarTest").split("\n"):
        line = line.split("#")[0].rstrip() if line.startswith("#") else line
        fields = line.split("|")
        if len(fields) != 3 or fields[0].strip() not in ("A", "U"):
            continue
        given, expected = fields[1].strip(), fields[2].strip()
        try:
            found = expand(given, env).text
        except DockerfileError:
            found = "error"
        if found != expected:
            wrong.append((given, expected, found))
    assert wrong == []


def test_words_of_variables(published_tables: str) -> None:
    env: dict[str, str] = {}
    wrong = []
    for line in text(published_tables, "dockerfile/shell/wordsTest").split("\n"):
        if line.startswith("ENV "):
            key, _, value = line[4:].partition("=")
            env[key.strip()] = value
            continue
        if not line.strip() or line.startswith("#") or "|" not in line:
            continue
        given, _, expected = line.partition("|")
        try:
            found = ",".join(expand_words(given.strip(" "), env))
        except DockerfileError:
            found = "error"
        if found != expected.lstrip(" "):
            wrong.append((given, expected, found))
    assert wrong == []


def test_process_word(published_tables: str) -> None:
    table = json.loads(text(published_tables, "dockerfile/shell/process_word.json"))
    wrong = []
    for case in table["cases"] if isinstance(table, dict) else table:
        given = case.get("input", case.get("word"))
        try:
            found = expand(given, case.get("envs") or case.get("env") or {})
        except DockerfileError as error:
            if not (case.get("error") or case.get("expectedErr")):
                wrong.append((case, str(error)))
            continue
        if (
            case.get("error")
            or case.get("expectedErr")
            or found.text != case.get("expected", case.get("expect"))
        ):
            wrong.append((case, found.text))
    assert wrong == []


def test_instruction_errors(published_tables: str) -> None:
    table = json.loads(text(published_tables, "dockerfile/instructions/errors.json"))
    for case in table["one_instruction_errors"]:
        with pytest.raises(DockerfileError):
            parse("FROM scratch\n" + case["dockerfile"])


def test_patterns(published_tables: str) -> None:
    table = json.loads(text(published_tables, "patternmatcher/matches.json"))
    for case in table["single"]:
        assert IgnoreFile.of([case["pattern"]]).excludes(case["text"]) is case["match"], case
    for case in table["multi"]:
        assert IgnoreFile.of(case["patterns"]).excludes(case["text"]) is case["match"], case
    for case in json.loads(text(published_tables, "patternmatcher/go_filepath_match.json")):
        if case["bad_pattern"]:
            with pytest.raises(DockerfileError):
                IgnoreFile.of([case["pattern"]])
        else:
            assert IgnoreFile.of([case["pattern"]]).excludes(case["text"]) is case["match"], case


def test_reference_names(published_tables: str) -> None:
    table = json.loads(text(published_tables, "reference/normalize.json"))
    for name in table["valid_names"]:
        Reference.parse(name)
    for name in table["invalid_names"]:
        with pytest.raises(InvalidReference):
            Reference.parse(name)


def test_a_comment_must_start_its_line() -> None:
    with pytest.raises(DockerfileError, match="a comment must start its line") as caught:
        parse("FROM xxx #comment\n")
    assert (caught.value.line, caught.value.column) == (1, 10)
    assert re.search(r"FROM xxx #comment\n.*\^", caught.value.excerpt)


def test_ignore_file_brings_back() -> None:
    ignore = IgnoreFile.parse("# c\ndocs\n!docs/README.md\n*.log\n**/*.pyc\n")
    assert ignore.excludes("docs/a")
    assert not ignore.excludes("docs/README.md")
    assert ignore.may_bring_back_below("docs")
    assert ignore.excludes("x.log")
    assert not ignore.excludes("a/x.log")
    assert ignore.excludes("a/b/x.pyc")
