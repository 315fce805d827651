"""A whole Dockerfile: global arguments, then stages, each from its FROM on."""

from typing import NamedTuple

from lamina.dockerfile.instructions import Arg, From, Instruction
from lamina.dockerfile.parser import Caveat, parse_nodes
from lamina.dockerfile.reading import read_instruction


class Stage(NamedTuple):
    """One stage: its number, its FROM, and what follows it."""

    number: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """What it is called, in lower case; "" when it has no name."""
        return self.base.name


class Dockerfile(NamedTuple):
    """What a file says; `escape` is its escape character."""

    args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str
    warnings: tuple[Caveat, ...]


def parse(text: str, *, filename: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile; raises `DockerfileError` with file, line, column and excerpt."""
    parsed = parse_nodes(text, filename)
    args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for node in parsed.nodes:
        instruction = read_instruction(node)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            args.append(instruction)
        else:
            message = f"{node.name} stands before the first FROM, where only ARG may"
            raise node.position.error(message, hint="begin with FROM", near=node.name)
    if not stages:
        raise parsed.nodes[-1].position.error("the file has no FROM", hint="begin with FROM")
    found = (
        Stage(number, base, tuple(instructions))
        for number, (base, instructions) in enumerate(stages)
    )
    return Dockerfile(tuple(args), tuple(found), parsed.escape, parsed.warnings)


def parse_fragment(text: str, *, filename: str = "ONBUILD") -> Instruction:
    """One instruction by itself (an ONBUILD trigger, `--change`); raises `DockerfileError`."""
    nodes = parse_nodes(text, filename).nodes
    if len(nodes) != 1:
        raise nodes[1].position.error("one instruction is expected")
    return read_instruction(nodes[0])
