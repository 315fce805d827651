"""A build's events as lines: as people know them from BuildKit's plain progress, or as JSON."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from lamina.cli.cells import harmless
from lamina.cli.progress import Built, Progress
from lamina.errors import LaminaError
from lamina.values.events import (
    Caution,
    CheckWarned,
    Event,
    LayerProgress,
    Notice,
    Sink,
    StepCached,
    StepCanceled,
    StepDone,
    StepErred,
    StepOutput,
    StepStarted,
)
from lamina.values.size import human

_LONGEST = 1 << 16  # bytes of a line, after which what has come is written as one
_ENDS = ("complete", "already exists")  # of a base's layer that is pulled


def closing_lines(built: Built, checks: Sequence[CheckWarned]) -> list[str]:
    """The image and its names, what each step added, and what the build checks found."""
    named = f", named {', '.join(built.names)}" if built.names else ""
    lines = [*built.shares(), f"built {built.image.short}{named}"]
    if checks:
        count = f"{len(checks)} warning{'s' * (len(checks) > 1)}"
        lines += ["", f" {count} found (use lamina build --check to expand):"]
    found = (f" - {each.rule}: {each.detail} (line {each.line})" for each in checks)
    return lines + [harmless(line) for line in found]


def title_of(event: StepStarted) -> str:
    """`[build 2/5] RUN make`: as BuildKit calls a step, its place within its stage first."""
    place = f"{event.number:{len(str(event.of))}d}/{event.of}" if event.number else ""
    words = " ".join(filter(None, (event.stage, place)))
    first, *more = event.text.strip().split("\n", 1)
    return (f"[{words}] " if words else "") + first + (" ..." if more else "")


def failure(title: str, written: Sequence[str]) -> list[str]:
    """The end of what a failed step wrote, between rules, as BuildKit shows it."""
    return ["------", f" > {title}:", *written, "------"] if written else []


def _elapsed(seconds: float) -> str:
    """Seconds in four digits or so, as BuildKit writes them beside output."""
    digits = 3 if seconds < 10 else 2 if seconds < 100 else 1
    return f"{seconds:.{digits}f}"


class Plain(Progress):
    """Writes one line per event; a step's output is prefixed with its number and its seconds.

    With `explains` each step says why it was, or was not, carried out. Otherwise one that only
    edits the config, which is done in no time, is not worth a line unless it fails.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        explains: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._clock = clock
        self._began: dict[int, float] = {}
        self._explains = explains
        self._pending: dict[int, bytes] = {}
        self._titles: dict[int, str] = {}
        self._passed_over: set[int] = set()
        self._failed: list[StepErred] = []
        self._checks: list[CheckWarned] = []
        self._shown: Callable[[str], str] = harmless if out.isatty() else str

    @property
    def sink(self) -> Sink:
        """Writes each event as it comes."""
        return self.show

    def show(self, event: Event) -> None:
        """Write what the event says."""
        if isinstance(event, StepStarted):
            self._begin(event)
        elif isinstance(event, StepCached):
            self._line(f"#{event.step} CACHED{self._because(event.reason)}")
        elif isinstance(event, StepOutput):
            self._output(event)
        elif isinstance(event, StepDone):
            self._done(event)
        elif isinstance(event, StepErred):
            self._erred(event)
        elif isinstance(event, StepCanceled):
            self._canceled(event)
        elif isinstance(event, CheckWarned):
            self._checks.append(event)
        elif isinstance(event, LayerProgress):
            if event.state in _ENDS:
                self._line(f"{event.layer}: {event.state}")
        elif isinstance(event, Notice):
            self._line(event.text)
        elif isinstance(event, Caution):
            self._line(f"warning: {event.text}")

    def _begin(self, event: StepStarted) -> None:
        self._began[event.step] = self._clock()
        title = self._titles[event.step] = title_of(event)
        if event.number or self._explains:
            self._line(f"#{event.step} {title}")
        else:
            self._passed_over.add(event.step)

    def _done(self, event: StepDone) -> None:
        if event.step in self._passed_over:
            return
        self._flush(event.step)
        size = f", {human(event.size)} added" if event.size else ""
        self._line(f"#{event.step} DONE {event.seconds:.1f}s{size}{self._because(event.missed)}")

    def _canceled(self, event: StepCanceled) -> None:
        if event.step not in self._passed_over:
            self._flush(event.step)
            self._line(f"#{event.step} CANCELED")

    def _erred(self, event: StepErred) -> None:
        if event.step in self._passed_over:
            self._line(f"#{event.step} {self._titles[event.step]}")
        self._flush(event.step)
        self._line(f"#{event.step} ERROR: {harmless(event.error)}")
        self._failed.append(event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say at last, whatever was said between, what failed steps wrote."""
        try:
            yield
        finally:
            for event in self._failed:
                lines = event.output.split("\n") if event.output else []
                for line in failure(self._titles[event.step], lines):
                    self._line(line)

    def _because(self, reason: str) -> str:
        return f": {reason}" if self._explains and reason else ""

    def _output(self, event: StepOutput) -> None:
        data = self._pending.pop(event.step, b"") + event.data
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._wrote(event.step, line)
        if len(rest) > _LONGEST:
            self._wrote(event.step, rest)
        elif rest:
            self._pending[event.step] = rest

    def _wrote(self, index: int, line: bytes) -> None:
        """A line that a step wrote, and how long it went on by then."""
        text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        self._line(f"#{index} {_elapsed(self._clock() - self._began[index])} {self._shown(text)}")

    def _flush(self, index: int) -> None:
        rest = self._pending.pop(index, b"")
        if rest:
            self._wrote(index, rest)

    def _line(self, text: str) -> None:
        """A line; whatever is named in it (a file, a step) does not steer a terminal."""
        self._out.write(self._shown(text) + "\n")
        self._out.flush()

    def finish(self, built: Built) -> None:
        """Say what the build came to."""
        for line in closing_lines(built, self._checks):
            self._line(line)


class Documents(Progress):
    """Writes one JSON object per event and line, for programs: its kind in `event`, its facts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @property
    def sink(self) -> Sink:
        """Writes each event as it comes."""
        return self.show

    @contextmanager
    def running(self) -> Iterator[None]:
        """What ends the build is told as well, wherever it comes from."""
        try:
            yield
        except LaminaError as error:
            said = {"error": str(error), "excerpt": error.excerpt, "status": error.exit_code}
            self._line({"event": "Failed", **said})
            raise

    def show(self, event: Event) -> None:
        """Write what the event says; what a command wrote as text, bad UTF-8 replaced."""
        facts = {
            name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, value in event._asdict().items()
        }
        self._line({"event": type(event).__name__, **facts})

    def finish(self, built: Built) -> None:
        """Say what the build came to."""
        self._line({"event": "Built", "image": built.image, "names": list(built.names)})

    def _line(self, document: dict[str, object]) -> None:
        self._out.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._out.flush()
