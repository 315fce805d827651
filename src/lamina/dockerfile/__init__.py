"""The Dockerfile language: text to typed instructions. Pure: no input, no output, no clock.

parse(text) -> Dockerfile(global args, stages of instructions, warnings)
"""

from lamina.dockerfile.expand import Expansion, expand, expand_words
from lamina.dockerfile.heredoc import Heredoc
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.parser import Caveat, Node, parse_nodes
from lamina.dockerfile.position import Position
from lamina.dockerfile.reading import read_instruction
from lamina.dockerfile.stages import Dockerfile, Stage, parse, parse_fragment

__all__ = [
    "Add",
    "Arg",
    "Caveat",
    "Cmd",
    "Copy",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expansion",
    "Expose",
    "From",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Maintainer",
    "Node",
    "Onbuild",
    "Position",
    "Run",
    "Shell",
    "Stage",
    "Stopsignal",
    "User",
    "Volume",
    "Workdir",
    "expand",
    "expand_words",
    "parse",
    "parse_fragment",
    "parse_nodes",
    "read_instruction",
]
