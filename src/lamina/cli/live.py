"""A build's progress on a terminal: the list of its steps, drawn over as they go on.

A thread draws; whoever tells what happens only takes it down, so that a terminal that is stopped
(Ctrl-S) stops no build. The terminal's modes are left alone and its cursor is not hidden: whatever
kills us leaves nothing to put right. What was drawn is erased by going up as many lines as it
takes now, which after a change of size may be others than when it was written.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from lamina.cli import cells
from lamina.cli.progress import Built, Progress, closing_lines
from lamina.cli.steplist import CANCELED, DONE, FAILED, Line, StepList, failure
from lamina.values.events import Caution, CheckWarned, Event, Notice, Sink

_BEAT = 0.1  # seconds between two drawings
_COLOURS = {DONE: "36", FAILED: "31", CANCELED: "33"}
_UNKNOWN = os.terminal_size((80, 24))


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
        self._canvas = Canvas(out, colours=colours)
        self._clock = clock
        self._steps = StepList(clock(), explains=explains)
        self._checks: list[CheckWarned] = []
        self._said: list[str] = []
        self._taking = threading.Lock()
        self._drawing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Draw for the block's time; however it ends, what stands then is whole."""
        self._begin()
        try:
            yield
        finally:
            if self._thread is not None:
                self._end()

    def _begin(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name="lamina-progress", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT):
            self._draw()

    def _draw(self) -> None:
        size = self._canvas.size()
        with self._drawing:
            with self._taking:
                said, self._said = self._said, []
                # one line is the cursor's, and none touches the right edge
                lines = self._steps.screen(size.columns - 1, size.lines - 1, self._clock())
            self._canvas.draw(lines, said, size.columns)

    def _end(self) -> None:
        """The list as it ended, whole; nothing is drawn after it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        columns = self._canvas.size().columns
        with self._taking:
            self._steps.given_up(self._clock())
            said, self._said = self._said, []
            lines = self._steps.whole(columns - 1, self._clock())
            ends = [line for step in self._steps.failed for line in failure(step)]
        self._canvas.draw(lines, said, columns)
        self._canvas.let_stand(ends)

    @property
    def sink(self) -> Sink:
        """Takes events down."""
        return self.show

    def show(self, event: Event) -> None:
        """Take down what the event says, to be drawn."""
        with self._taking:
            if isinstance(event, Notice):
                self._said.append(cells.harmless(event.text))
            elif isinstance(event, Caution):
                self._said.append(cells.harmless(f"warning: {event.text}"))
            elif isinstance(event, CheckWarned):
                self._checks.append(event)
            else:
                self._steps.take(event, self._clock())

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave the terminal to somebody else for the block's time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._draw()
        self._canvas.let_stand(())
        try:
            yield
        finally:
            self._begin()

    def finish(self, built: Built) -> None:
        """Say what the build came to, beneath the list."""
        self._end()
        self._canvas.let_stand(closing_lines(built, self._checks))


class Canvas:
    """The last lines of a terminal, drawn over and over; what is said goes above them."""

    def __init__(self, out: TextIO, *, colours: bool) -> None:
        self._out = out
        self._colours = colours
        self._drawn: list[int] = []
        self._lost = False

    def size(self) -> os.terminal_size:
        """The terminal's size; that of a usual one where it tells none."""
        try:
            found = os.get_terminal_size(self._out.fileno())
        except OSError:
            return _UNKNOWN
        return found if found.columns and found.lines else _UNKNOWN

    def draw(self, lines: Sequence[Line], said: Sequence[str], columns: int) -> None:
        """Put `said` and then `lines` in the place of the lines drawn before."""
        up = sum(max(-(-each // columns), 1) for each in self._drawn)
        parts = [f"\x1b[{up}A" if up else "", "\r", "\x1b[J" if said else ""]
        parts += [f"{text}\n" for text in said]
        parts += [f"\x1b[K{self._coloured(line)}\n" for line in lines]
        self._drawn = [cells.width(line.text) for line in lines]
        self._write("".join(parts) + "\x1b[J")

    def let_stand(self, beneath: Sequence[str]) -> None:
        """Nothing that was drawn is drawn over any more; write lines beneath it."""
        self._drawn = []
        self._write("".join(f"{text}\n" for text in beneath))

    def _coloured(self, line: Line) -> str:
        colour = _COLOURS.get(line.kind) if self._colours else None
        return f"\x1b[{colour}m{line.text}\x1b[0m" if colour else line.text

    def _write(self, text: str) -> None:
        """In one piece; a terminal that is gone is not written to again."""
        encoding = self._out.encoding or "ascii"
        data = text.encode(encoding, "replace")
        try:
            while data and not self._lost:
                data = data[self._some(data) :]
        except OSError:
            self._lost = True

    def _some(self, data: bytes) -> int:
        """How much of it was written; somebody who shares the terminal may have it not block."""
        try:
            return os.write(self._out.fileno(), data)
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(self._out.fileno(), select.POLLOUT)
            waiting.poll()
            return 0
