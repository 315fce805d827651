"""What a template consists of, as values."""

from typing import NamedTuple, TypeAlias

Node: TypeAlias = "Text | Show | Assign | Block"
Operand: TypeAlias = "Literal | Path | Name | Pipeline | Chain"


class Text(NamedTuple):
    """Text that stands for itself."""

    text: str


class Literal(NamedTuple):
    """A string, a number, true, false or nil."""

    value: object


class Path(NamedTuple):
    """A chain of fields from the dot, or from a variable (`$` is the whole data)."""

    variable: str
    fields: tuple[str, ...]


class Name(NamedTuple):
    """A function."""

    name: str


class Chain(NamedTuple):
    """Fields of what a pipeline in parentheses comes to: `(index .Mounts 0).Source`."""

    pipeline: "Pipeline"
    fields: tuple[str, ...]


class Pipeline(NamedTuple):
    """Commands, each one's value handed to the next as its last argument."""

    commands: tuple[tuple[Operand, ...], ...]


class Show(NamedTuple):
    """A pipeline whose value is printed."""

    pipeline: Pipeline


class Assign(NamedTuple):
    """`$name := pipeline`, or with `declares` false `$name = pipeline`."""

    name: str
    pipeline: Pipeline
    declares: bool


class Block(NamedTuple):
    """`if`, `range` or `with`; `names` are the variables that it sets."""

    kind: str
    names: tuple[str, ...]
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
