"""From a Dockerfile to the stages and steps that a target needs, each with the reason why. Pure.

Everything is decided that can be without looking at an image's tree: which stages are reached
(by FROM and by COPY --from), where each begins, which triggers of its base run first, and the
global arguments. Variables inside a stage are expanded later, when the base's own are known.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from lamina.build.operation import PROXY_NAMES
from lamina.dockerfile.expand import expand
from lamina.dockerfile.instructions import Arg, Copy, Dockerfile, From, Instruction, OnBuild, Stage
from lamina.dockerfile.parser import parse_trigger
from lamina.errors import DockerfileError

SCRATCH = "scratch"
_UNNAMED = "default"  # what TARGETSTAGE says when no target was asked for


class FromScratch(NamedTuple):
    """A stage that begins with nothing."""


class FromImage(NamedTuple):
    """A stage that begins with an image of the store; `platform` as written, expanded."""

    reference: str
    platform: str


class FromStage(NamedTuple):
    """A stage that begins where an earlier one ended."""

    index: int


Base: TypeAlias = FromScratch | FromImage | FromStage
