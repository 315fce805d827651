"""A build's events as lines: as people know them from BuildKit's plain progress, or as JSON."""

import json
from typing import TextIO

from lamina.values.digest import ImageID
from lamina.values.events import (
    Caution,
    CheckWarned,
    Event,
    LayerProgress,
    Notice,
    StepCached,
    StepCanceled,
    StepDone,
    StepOutput,
    StepStarted,
)
from lamina.values.size import human

_ENDS = ("complete", "already exists")  # of a base's layer that is pulled


class Plain:
    """Writes one line per event; a step's output is prefixed with its number.

    With `explains` each step says why it was, or was not, carried out.
    """

    def __init__(self, out: TextIO, *, explains: bool = False) -> None:
        self._out = out
        self._explains = explains
        self._pending: dict[int, bytes] = {}
        self._checks: list[CheckWarned] = []

    def show(self, event: Event) -> None:
        """Write what the event says."""
        if isinstance(event, StepStarted):
            stage = f"{event.stage} " if event.stage else ""
            first = event.text.strip().split("\n", 1)
            more = " ..." if len(first) > 1 else ""
            self._line(f"#{event.step} [{stage}{event.step}/{event.total}] {first[0]}{more}")
        elif isinstance(event, StepCached):
            self._line(f"#{event.step} CACHED{self._because(event.reason)}")
        elif isinstance(event, StepOutput):
            self._output(event)
        elif isinstance(event, StepDone):
            self._flush(event.step)
            size = f", {human(event.size)} added" if event.size else ""
            why = self._because(event.missed)
            self._line(f"#{event.step} DONE {event.seconds:.1f}s{size}{why}")
        elif isinstance(event, StepCanceled):
            self._flush(event.step)
            self._line(f"#{event.step} CANCELED")
        elif isinstance(event, CheckWarned):
            self._checks.append(event)
        elif isinstance(event, LayerProgress):
            if event.state in _ENDS:
                self._line(f"{event.layer}: {event.state}")
        elif isinstance(event, Notice):
            self._line(event.text)
        elif isinstance(event, Caution):
            self._line(f"warning: {event.text}")

    def _because(self, reason: str) -> str:
        return f": {reason}" if self._explains and reason else ""

    def _output(self, event: StepOutput) -> None:
        data = self._pending.pop(event.step, b"") + event.data
        *lines, rest = data.split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
            self._line(f"#{event.step} {text}")
        if rest:
            self._pending[event.step] = rest

    def _flush(self, index: int) -> None:
        rest = self._pending.pop(index, b"")
        if rest:
            self._line(f"#{index} {rest.decode('utf-8', 'replace')}")

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def finish(self, image: ImageID, names: list[str]) -> None:
        """Say what the build came to."""
        self._line(f"built {image.short}" + (f", named {', '.join(names)}" if names else ""))
        if self._checks:
            count = f"{len(self._checks)} warning{'s' * (len(self._checks) > 1)}"
            self._line(f"\n {count} found (use lamina build --check to expand):")
        for each in self._checks:
            self._line(f" - {each.rule}: {each.detail} (line {each.line})")


class Documents:
    """Writes one JSON object per event and line, for programs: its kind in `event`, its facts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        """Write what the event says; what a command wrote as text, bad UTF-8 replaced."""
        facts = {
            name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, value in event._asdict().items()
        }
        self._line({"event": type(event).__name__, **facts})

    def finish(self, image: ImageID, names: list[str]) -> None:
        """Say what the build came to."""
        self._line({"event": "Built", "image": image, "names": names})

    def _line(self, document: dict[str, object]) -> None:
        self._out.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._out.flush()
