"""A build's progress on a terminal: the list of its steps, drawn over as they go on."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from lamina.cli.canvas import Animation
from lamina.cli.cells import Line
from lamina.cli.progress import Built, Progress
from lamina.cli.progresslines import closing_lines
from lamina.cli.steplist import CANCELED, DONE, FAILED, StepList, last_words
from lamina.values.events import Caution, CheckWarned, Event, Notice, Sink

_COLOURS = {DONE: "36", FAILED: "31", CANCELED: "33"}


class Live(Progress):
    """Draws on a terminal; with `explains` each step says why it was, or was not, carried out."""

    def __init__(
        self,
        out: TextIO,
        *,
        explains: bool = False,
        colours: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shown = Animation(out, self._screen, _COLOURS if colours else {})
        self._clock = clock
        self._steps = StepList(clock(), explains=explains)
        self._checks: list[CheckWarned] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Draw for the block's time; however it ends, what stands then is whole."""
        self._shown.begin()
        try:
            yield
        finally:
            if self._shown.is_going:
                self._end()

    def _screen(self, columns: int, rows: int) -> Sequence[Line]:
        return self._steps.screen(columns, rows, self._clock())

    def _end(self) -> None:
        """The list as it ended, whole; nothing is drawn after it."""
        self._shown.end(self._whole, self._failures)

    def _whole(self, columns: int) -> Sequence[Line]:
        self._steps.given_up(self._clock())
        return self._steps.whole(columns, self._clock())

    def _failures(self) -> Sequence[str]:
        return [line for step in self._steps.failed for line in last_words(step)]

    @property
    def sink(self) -> Sink:
        """Takes events down."""
        return self.show

    def show(self, event: Event) -> None:
        """Take down what the event says, to be drawn."""
        with self._shown.taking:
            if isinstance(event, Notice):
                self._shown.say(event.text)
            elif isinstance(event, Caution):
                self._shown.say(f"warning: {event.text}")
            elif isinstance(event, CheckWarned):
                self._checks.append(event)
            else:
                self._steps.take(event, self._clock())

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave the terminal to somebody else for the block's time."""
        self._shown.pause()
        try:
            yield
        finally:
            self._shown.begin()

    def finish(self, built: Built) -> None:
        """Say what the build came to, beneath the list."""
        self._end()
        self._shown.let_stand(closing_lines(built, self._checks))
