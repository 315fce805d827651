"""From a stage and all that it reads from to what a Dockerfile of the same would be read as. Pure.

Stages are numbered in the order in which they are needed, the target last; each is there once.
"""

from collections.abc import Iterator

from lamina import dockerfile as written
from lamina.build.quoting import quoted
from lamina.build.stage import Call, Stage
from lamina.dockerfile.stages import Dockerfile
from lamina.dockerfile.stages import Stage as Written
from lamina.errors import UsageError


def assembled(target: Stage) -> Dockerfile:
    """The stages that `target` needs, and itself; raises `UsageError` for names that clash."""
    ordered = _ordered(target)
    numbers = {id(stage): number for number, stage in enumerate(ordered)}
    bases = {id(stage.base) for stage in ordered}
    names = [
        stage.name or (f"stage-{number}" if id(stage) in bases else "")
        for number, stage in enumerate(ordered)
    ]
    _refuse_clashes(ordered, [name for name in names if name])
    stages = tuple(_written(stage, number, numbers, names) for number, stage in enumerate(ordered))
    return Dockerfile((), stages, "\\", ())


def _ordered(target: Stage) -> list[Stage]:
    """Every stage after those that it needs; without recursion, however long the line."""
    ordered: list[Stage] = []
    placed: set[int] = set()
    waiting = [target]
    while waiting:
        stage = waiting[-1]
        missing = [each for each in _needed(stage) if id(each) not in placed]
        if missing:
            waiting += missing[::-1]
            continue
        waiting.pop()
        if id(stage) not in placed:
            placed.add(id(stage))
            ordered.append(stage)
    return ordered


def _needed(stage: Stage) -> Iterator[Stage]:
    if isinstance(stage.base, Stage):
        yield stage.base
    for call in stage.calls:
        yield from (each for each in _origins(call) if isinstance(each, Stage))


def _origins(call: Call) -> "Iterator[Stage | str | None]":
    yield call.origin
    for mount in call.mounts:
        yield mount.origin


def _refuse_clashes(stages: list[Stage], names: list[str]) -> None:
    """A name that means two things; in a Dockerfile the nearer one would be meant in silence."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two stages are called {name!r}", hint="name one otherwise")
    for stage in stages:
        origins = [each for call in stage.calls for each in _origins(call)]
        for image in (stage.base, *origins):
            if isinstance(image, str) and image.lower() in names:
                raise UsageError(
                    f"{image!r} is both an image that is used and a stage", hint="rename the stage"
                )
            if isinstance(image, str) and image.isdigit():
                raise UsageError(f"{image!r} names no image, and no stage")


def _written(stage: Stage, number: int, numbers: dict[int, int], names: list[str]) -> Written:
    base = stage.base
    image = names[numbers[id(base)]] if isinstance(base, Stage) else base
    line = written.From(stage.position, quoted(image), names[number], quoted(stage.platform))
    return Written(number, line, tuple(_instruction(call, numbers) for call in stage.calls))


def _instruction(call: Call, numbers: dict[int, int]) -> written.Instruction:
    def name(origin: "Stage | str | None") -> str:
        return str(numbers[id(origin)]) if isinstance(origin, Stage) else origin or ""

    line = call.instruction
    if isinstance(line, written.Copy):
        return line._replace(from_=name(call.origin))
    if isinstance(line, written.Run):
        return line._replace(mounts=tuple(each.text(name(each.origin)) for each in call.mounts))
    return line
