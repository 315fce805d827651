"""Checks of FROM lines, and of what the whole file is held to. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from lamina.dockerfile.instructions import From
from lamina.dockerfile.lintwords import Finding, expanded, near
from lamina.dockerfile.parser import Node
from lamina.dockerfile.words import halved, parted
from lamina.errors import InvalidReference
from lamina.values.reference import Reference

_RESERVED = ("context", "scratch")
_TARGET = ("$TARGETPLATFORM", "${TARGETPLATFORM}")


def from_rules(
    node: Node,
    line: From,
    arguments: Mapping[str, str | None],
    stages: Mapping[str, object],
    escape: str,
) -> list[Finding]:
    """What is to be said of a FROM, given the global arguments and the stages before it."""
    return [
        *_stage_name(node, line, stages),
        *_undeclared(line, arguments, escape),
        *_default(line, arguments, escape),
        *_platform(line),
    ]


def base_platform(image: str, asked: str, actual: str | None) -> list[Finding]:
    """Whether a base is for another system or architecture; nothing where one is not known."""
    if not asked or actual is None or asked.split("/")[:2] == actual.split("/")[:2]:
        return []
    what = f'Base image {image} was pulled with platform "{actual}", expected "{asked}"'
    return [Finding("InvalidBaseImagePlatform", f"{what} for current build")]


def _stage_name(node: Node, line: From, stages: Mapping[str, object]) -> Iterator[Finding]:
    if not line.name:
        return
    _, keyword, written = node.args
    if written != written.lower():
        yield Finding("StageNameCasing", f"Stage name '{written}' should be lowercase")
    verb = written_verb(node)
    if _is_one_case(verb) and keyword.islower() != verb.islower():
        what = f"'{keyword}' and '{verb}' keywords' casing do not match"
        yield Finding("FromAsCasing", what)
    if line.name in stages:
        what = f'Duplicate stage name "{line.name}", stage names should be unique'
        yield Finding("DuplicateStageName", what)
    if line.name in _RESERVED:
        what = f'Stage name should not use the same name as reserved stage "{line.name}"'
        yield Finding("ReservedStageName", what)


def _undeclared(line: From, arguments: Mapping[str, str | None], escape: str) -> Iterator[Finding]:
    known = {name: value or "" for name, value in arguments.items()}
    missing = {
        name
        for text in (line.image, line.platform)
        for name in expanded(text, known, escape).undefined
    }
    for name in sorted(missing):
        what = f"FROM argument '{name}' is not declared{near(name, known)}"
        yield Finding("UndefinedArgInFrom", what)


def _default(line: From, arguments: Mapping[str, str | None], escape: str) -> Iterator[Finding]:
    """The base with the arguments' defaults alone must be the name of an image."""
    if "$" not in line.image:
        return
    found = expanded(line.image, {k: v or "" for k, v in arguments.items()}, escape)
    if found.undefined or _is_image(found.text):
        return
    what = f"Default value for ARG {line.image} results in empty or invalid base image name"
    yield Finding("InvalidDefaultArgInFrom", what)


def _is_image(text: str) -> bool:
    try:
        Reference.parse(text)
    except InvalidReference:
        return False
    return True


def _platform(line: From) -> Iterator[Finding]:
    if line.platform in _TARGET:
        yield Finding(
            "RedundantTargetPlatform",
            f"Setting platform to predefined {line.platform} in FROM is redundant as this is the"
            " default behavior",
        )
    elif line.platform and "$" not in line.platform:
        parts = line.platform.lower().split("/")
        if not any(part in line.name for part in parts if line.name):
            what = f'FROM --platform flag should not use constant value "{line.platform}"'
            yield Finding("FromPlatformFlagConstDisallowed", what)


# --- the whole file ---------------------------------------------------------------------


def written_verb(node: Node) -> str:
    """An instruction's name as it is written."""
    first = node.position.source.lstrip().split("\n")[0]
    return halved(first)[0] if parted(first) else node.name


def majority(nodes: Sequence[Node]) -> Iterator[tuple[Node, Finding]]:
    """Instructions that are not written as most are: in capitals, or in small letters."""
    begun = False
    counted = []
    for node in nodes:
        begun = begun or node.name == "FROM"
        if begun:
            counted.append((node, written_verb(node)))
    lower = sum(1 for _, verb in counted if verb.islower())
    upper = sum(1 for _, verb in counted if verb.isupper())
    case = "lowercase" if lower > upper else "uppercase"
    for node, verb in counted:
        if verb != (verb.lower() if lower > upper else verb.upper()):
            what = f"Command '{verb}' should match the case of the command majority ({case})"
            yield node, Finding("ConsistentInstructionCasing", what)


def _is_one_case(word: str) -> bool:
    return word.islower() or word.isupper()
