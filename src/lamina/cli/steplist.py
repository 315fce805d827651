"""A build's steps as a list that lives: from events to the lines of one screen. Draws nothing.

    [+] Building 3.2s (5/9)
     => CACHED [build 2/9] RUN apt-get install -y gcc            0.0s
     => [build 3/9] RUN make                                     2.1s
     => => # cc -c main.c

The list is in the order in which steps began. Where it is longer than the screen, what goes on
comes first, then the ends of what it writes, then what ended last.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lamina.cli import cells
from lamina.cli.cells import Line
from lamina.cli.progresslines import failure, title_of
from lamina.values.events import (
    Event,
    LayerProgress,
    StepCached,
    StepCanceled,
    StepDone,
    StepErred,
    StepOutput,
    StepStarted,
)
from lamina.values.size import human

RUNNING, DONE, FAILED, CANCELED = "running", "done", "failed", "canceled"
_MARKS = {"cached": "CACHED ", FAILED: "ERROR ", CANCELED: "CANCELED "}
_TAIL = 6  # lines of what a step writes, while it goes on
_KEPT = 1 << 15  # bytes of it that are kept, for its failure
_END = 40  # lines of it that a failure shows
_MOVING = ("downloading", "pushing", "copying")
_UNSEEN = ("waiting", "complete", "already exists", "copied", "pushed", "compressed", "read")
_LAYERS = 6  # layers on their way that are shown
_TITLE = 1000  # characters of a step's text that are kept: no screen is wider
_LEAST = 8  # cells of a step's text, before which its time is left out


class Step(NamedTuple):
    """A step as it stands; `seconds` is how long it took once it has ended.

    One that is `listed` has a line in any case, another one only if it fails.
    """

    title: str
    began: float
    listed: bool = True
    kind: str = RUNNING
    cached: bool = False
    seconds: float = 0.0
    note: str = ""
    tail: bytes = b""
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.kind == RUNNING

    def output(self, lines: int) -> list[str]:
        """The last lines that it wrote, made harmless; the one it is at, too."""
        if not lines:
            return []
        whole = self.tail.rstrip(b"\n").split(b"\n")
        if len(self.tail) == _KEPT:
            whole = whole[1:] or whole  # its beginning is gone
        shown = (cells.harmless(line.decode("utf-8", "replace")) for line in whole[-lines:])
        return [line.rstrip() for line in shown] if self.tail else []


class StepList:
    """The steps of one build, as its events tell them; times in seconds of any clock."""

    def __init__(self, now: float, *, explains: bool = False) -> None:
        self._began = now
        self._explains = explains
        self._steps: dict[int, Step] = {}
        self._total = 0
        self._layers: dict[str, LayerProgress] = {}

    def take(self, event: Event, now: float) -> None:
        """Take in what happened."""
        if isinstance(event, StepStarted):
            listed = bool(event.number) or self._explains
            self._steps[event.step] = Step(_title(event), now, listed)
            self._total = event.total
        elif isinstance(event, LayerProgress):
            self._layers.pop(event.layer, None)
            if event.state not in _UNSEEN:
                self._layers[event.layer] = event
        elif isinstance(event, StepOutput | StepCached | StepDone | StepErred | StepCanceled):
            step = self._steps.get(event.step)
            if step is not None:
                self._steps[event.step] = self._after(step, event, now)

    def _after(
        self,
        step: Step,
        event: StepOutput | StepCached | StepDone | StepErred | StepCanceled,
        now: float,
    ) -> Step:
        if isinstance(event, StepOutput):
            return step._replace(tail=(step.tail + event.data)[-_KEPT:])
        if isinstance(event, StepCached):
            return step._replace(kind=DONE, cached=True, note=self._why(event.reason))
        if isinstance(event, StepDone):
            why = self._why(event.missed)
            return step._replace(kind=DONE, seconds=event.seconds, note=why, tail=b"")
        if isinstance(event, StepErred):
            return step._replace(kind=FAILED, seconds=event.seconds, error=event.error)
        return step._replace(kind=CANCELED, seconds=now - step.began)

    def _why(self, reason: str) -> str:
        return f": {cells.harmless(reason)}" if self._explains and reason else ""

    def given_up(self, now: float) -> None:
        """Nothing goes on any more, whatever the last events said."""
        for number, step in self._steps.items():
            if step.is_running:
                self._steps[number] = step._replace(kind=CANCELED, seconds=now - step.began)
        self._layers.clear()

    @property
    def is_complete(self) -> bool:
        """Whether every step of the plan has ended well."""
        ended = sum(1 for step in self._steps.values() if step.kind == DONE)
        return bool(self._total) and ended == self._total

    @property
    def failed(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self._steps.values() if step.kind == FAILED]

    @property
    def _shown(self) -> dict[int, Step]:
        """The steps that have a line."""
        steps = self._steps.items()
        return {number: step for number, step in steps if step.listed or step.kind == FAILED}

    # --- lines --------------------------------------------------------------------------

    def whole(self, columns: int, now: float) -> list[Line]:
        """All of it as it ended, of any number of lines."""
        lines = [self._head(columns, now)]
        return lines + [_step_line(step, columns, now) for step in self._shown.values()]

    def screen(self, columns: int, rows: int, now: float) -> list[Line]:
        """As it stands, in no more than so many lines (one at least)."""
        left = max(rows, 1) - 1
        running = [step for step in self._shown.values() if step.is_running]
        if len(running) > left:
            return [self._head(columns, now), *self._crowded(running, columns, left, now)]
        layers = list(self._layers.values())[: min(_LAYERS, left - len(running))]
        left -= len(running) + len(layers)
        tails = _shared_out([step.output(_TAIL) for step in running], left)
        left -= sum(map(len, tails))
        ended = [number for number, step in self._shown.items() if not step.is_running]
        hidden = set(ended[: max(len(ended) - left, 0)])
        lines = [self._head(columns, now)]
        for number, step in self._shown.items():
            if number not in hidden:
                lines.append(_step_line(step, columns, now))
            if step.is_running:
                lines += [_beneath(f"# {text}", columns) for text in tails.pop(0)]
        return lines + [_beneath(_on_its_way(each), columns) for each in layers]

    def _head(self, columns: int, now: float) -> Line:
        ended = sum(1 for step in self._steps.values() if step.kind == DONE)
        text = f"[+] Building {now - self._began:.1f}s ({ended}/{self._total})"
        return Line(cells.cut(text + self._outcome(), columns))

    def _outcome(self) -> str:
        kinds = {step.kind for step in self._steps.values()}
        if FAILED in kinds:
            return " FAILED"
        if CANCELED in kinds:
            return " CANCELED"
        return " FINISHED" if self.is_complete else ""

    def _crowded(
        self, running: Sequence[Step], columns: int, left: int, now: float
    ) -> Iterator[Line]:
        """More goes on than there are lines: the newest, and how many more."""
        if not left:
            return
        more = len(running) - left + 1
        yield Line(cells.cut(f" => ... and {more} more steps go on", columns), RUNNING)
        for step in running[more:]:
            yield _step_line(step, columns, now)


def _title(event: StepStarted) -> str:
    title = title_of(event)
    return cells.harmless(title if len(title) <= _TITLE else f"{title[:_TITLE]} ...")


def _step_line(step: Step, columns: int, now: float) -> Line:
    """` => [3/9] RUN make    2.1s`, the time at the right edge where there is room for it."""
    mark = _MARKS["cached"] if step.cached else _MARKS.get(step.kind, "")
    seconds = f"{now - step.began if step.is_running else step.seconds:.1f}s"
    kind = step.kind if step.kind != RUNNING else ""
    room = columns - len(seconds) - 1
    text = f" => {mark}{step.title}{step.note}"
    if room < _LEAST:
        return Line(cells.cut(text, columns), kind)
    text = cells.shortened(text, room)
    blanks = columns - cells.width(text) - len(seconds)
    return Line(f"{text}{' ' * blanks}{seconds}", kind)


def _beneath(text: str, columns: int) -> Line:
    return Line(cells.cut(f" => => {text}", columns))


def _on_its_way(event: LayerProgress) -> str:
    moved = f" {human(event.current)} / {human(event.total)}" if event.total else ""
    return cells.harmless(f"{event.layer} {event.state}{moved if event.state in _MOVING else ''}")


def _shared_out(tails: Sequence[list[str]], lines: int) -> list[list[str]]:
    """The ends of what steps write, in so many lines: each as much as another, if it has it."""
    given = [0] * len(tails)
    while lines > 0:
        wanting = [at for at, tail in enumerate(tails) if given[at] < len(tail)]
        if not wanting:
            break
        for at in wanting[:lines]:
            given[at] += 1
        lines -= min(len(wanting), lines)
    return [tail[len(tail) - count :] for tail, count in zip(tails, given, strict=True)]


def last_words(step: Step) -> list[str]:
    """The end of what a failed step wrote, beneath its title."""
    return failure(step.title, step.output(_END))
