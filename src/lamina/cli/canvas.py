"""The last lines of a terminal, drawn over and over by a thread of their own.

Whoever tells what happens only takes it down, so that a terminal that is stopped (Ctrl-S) stops no
work. The terminal's modes are left alone and its cursor is not hidden: whatever kills us leaves
nothing to put right. What was drawn is erased by going up as many lines as it takes now, which
after a change of size may be others than when it was written. Knows nothing of what it shows.
"""

import os
import select
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from lamina.cli import cells
from lamina.cli.cells import Line

_BEAT = 0.1  # seconds between two drawings
_UNKNOWN = os.terminal_size((80, 24))

Screen = Callable[[int, int], Sequence[Line]]
"""Gives what is to be seen now, in so many columns and at most so many lines."""


class Animation:
    """Draws a `screen` again and again from `begin` to `end`.

    `taking` is held while it is asked for, and by whoever changes what it shows. `colours` are the
    SGR codes of kinds of lines.
    """

    def __init__(self, out: TextIO, screen: Screen, colours: Mapping[str, str]) -> None:
        self.taking = threading.Lock()
        self._out = out
        self._canvas = Canvas(out, colours)
        self._screen = screen
        self._said: list[str] = []
        self._last: tuple[Sequence[Line], os.terminal_size] | None = None
        self._drawing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_going(self) -> bool:
        """Whether it draws."""
        return self._thread is not None

    def begin(self) -> None:
        """Draw from now on; what others wrote before stands above."""
        self._out.flush()
        self._last = None
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name="lamina-progress", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Have a line above what is drawn; `taking` is held."""
        self._said.append(cells.harmless(text))

    def end(
        self, whole: Callable[[int], Sequence[Line]], beneath: Callable[[], Sequence[str]]
    ) -> None:
        """What `whole` gives for so many columns stands from now on, and lines beneath it."""
        self._halt()
        columns = self._canvas.size().columns
        with self.taking:
            said, self._said = self._said, []
            lines, ends = whole(columns - 1), beneath()
        self._canvas.draw(lines, said, columns)
        self._canvas.let_stand(ends)

    def pause(self) -> None:
        """Leave the terminal to somebody else, until it begins again."""
        self._halt()
        self._draw()
        self._canvas.let_stand(())

    def let_stand(self, beneath: Sequence[str]) -> None:
        """Write lines beneath what stands."""
        self._canvas.let_stand(beneath)

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT):
            self._draw()

    def _draw(self) -> None:
        size = self._canvas.size()
        with self._drawing:
            with self.taking:
                said, self._said = self._said, []
                # one line is the cursor's, and none touches the right edge
                lines = self._screen(size.columns - 1, size.lines - 1)
            if said or (lines, size) != self._last:
                self._canvas.draw(lines, said, size.columns)
                self._last = lines, size


class Canvas:
    """The last lines of a terminal, drawn over and over; what is said goes above them."""

    def __init__(self, out: TextIO, colours: Mapping[str, str]) -> None:
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
        colour = self._colours.get(line.kind)
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
