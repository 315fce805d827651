"""Which stages of a Dockerfile can be built, and what their author says of them. Pure."""

from typing import NamedTuple

from lamina.dockerfile.doccomments import description
from lamina.dockerfile.position import Position
from lamina.dockerfile.stages import parse


class Goal(NamedTuple):
    """A stage: its name ("" for none), the description above it, whether it is built unasked,
    its base and platform as they are written, and its FROM's place.
    """

    name: str
    description: str
    is_default: bool
    base: str
    platform: str
    position: Position


class Goals(NamedTuple):
    """The stages of a Dockerfile, and its text."""

    stages: tuple[Goal, ...]
    text: str


def targets(text: str, *, filename: str = "Dockerfile") -> Goals:
    """All stages, as for `docker build --call=targets`; raises `DockerfileError`."""
    written = parse(text, filename=filename)
    lines = text.removeprefix("\ufeff").split("\n")
    last = len(written.stages) - 1
    found = (
        Goal(
            stage.name,
            _description(lines, stage.base.position, stage.name),
            at == last,
            stage.base.image,
            stage.base.platform,
            stage.base.position,
        )
        for at, stage in enumerate(written.stages)
    )
    return Goals(tuple(found), text)


def _description(lines: list[str], place: Position, name: str) -> str:
    return description(lines, place.first, name) if name else ""
