"""What long work says while it goes on; any face may render it, none has to listen.

A sink is any callable that takes an event. Events are plain values: they hold no file, no
lock and no promise that another follows.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class StepStarted(NamedTuple):
    """A build step begins: `step` of the build's `total`, its text in one line, its stage and line.

    `number` of `of` is its place within its stage as BuildKit counts, among what makes layers:
    the base image, RUN, COPY, ADD and WORKDIR; it is 0 for whatever else.
    """

    step: int
    total: int
    text: str
    stage: str
    line: int
    number: int = 0
    of: int = 0


class StepCached(NamedTuple):
    """The step's result was known already; `reason` says from what."""

    step: int
    reason: str


class StepOutput(NamedTuple):
    """Bytes that the step's command wrote to `stream` (1 or 2)."""

    step: int
    stream: int
    data: bytes


class StepDone(NamedTuple):
    """The step ended; `size` is what it added in bytes, `missed` why the cache missed."""

    step: int
    seconds: float
    size: int
    missed: str


class StepErred(NamedTuple):
    """The step failed after so many seconds; `error` says why, in a sentence.

    `excerpt` shows the instruction where it stands, `output` is the end of what it wrote.
    """

    step: int
    seconds: float
    error: str
    excerpt: str = ""
    output: str = ""


class StepCanceled(NamedTuple):
    """The step was given up: another one failed, or the build was interrupted."""

    step: int


class CheckWarned(NamedTuple):
    """A build check found something in the Dockerfile: the rule, what it says, and where."""

    rule: str
    detail: str
    line: int
    url: str


class LayerProgress(NamedTuple):
    """A layer is moving: `state` in the field's words, bytes `current` of `total` (0: unknown)."""

    layer: str
    state: str
    current: int
    total: int


class Notice(NamedTuple):
    """A plain sentence worth showing."""

    text: str


class Caution(NamedTuple):
    """A sentence that warns: something works less well than asked."""

    text: str


Event: TypeAlias = (
    StepStarted
    | StepCached
    | StepOutput
    | StepDone
    | StepErred
    | StepCanceled
    | CheckWarned
    | LayerProgress
    | Notice
    | Caution
)
Sink: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The sink of those who do not listen."""
