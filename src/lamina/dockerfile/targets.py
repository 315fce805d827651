"""Which stages of a Dockerfile can be built, and what their author says of them. Pure."""

from typing import NamedTuple

from lamina.dockerfile.checkoptions import above
from lamina.dockerfile.stages import parse


class Goal(NamedTuple):
    """A stage: its name ("" for none), the description above it, whether it is built unasked."""

    name: str
    description: str
    is_default: bool


def targets(text: str, *, filename: str = "Dockerfile") -> tuple[Goal, ...]:
    """The stages that have a name, and the last one; raises `DockerfileError`.

    A comment right above a FROM describes its stage where it begins with the stage's name, as for
    `docker build --call=targets`.
    """
    written = parse(text, filename=filename)
    lines = text.removeprefix("\ufeff").split("\n")
    last = len(written.stages) - 1
    return tuple(
        Goal(stage.name, _description(lines, stage.base.position.first, stage.name), at == last)
        for at, stage in enumerate(written.stages)
        if stage.name or at == last
    )


def _description(lines: list[str], first: int, name: str) -> str:
    word, _, rest = above(lines, first)[1].partition(" ")
    return rest.strip() if word.lower() == name else ""
