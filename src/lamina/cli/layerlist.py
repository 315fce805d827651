"""Layers on their way as a list that lives: from events to the lines of one screen. Draws nothing.

    3f2a9c1b7d44 Downloading [=========>          ] 12.3MB/30.1MB 4.5MB/s 4s left
    77e1b0aa5c21 Extracting

The list is in the order in which the layers were first told of. Where it is longer than the screen,
those that move are shown first, and the last line counts the others.
"""

from collections import deque
from collections.abc import Sequence

from lamina.cli import cells
from lamina.cli.cells import Line
from lamina.values.events import LayerProgress
from lamina.values.size import human

MOVING = ("downloading", "pushing", "copying")
PASSING = (*MOVING, "waiting", "download complete", "extracting", "compressing", "compressed")
_WORDS = {"complete": "Pull complete"}
_BAR = 30  # cells of a bar, at most
_LEAST_BAR = 8  # cells, below which there is none
_WINDOW = 5.0  # seconds over which a speed is averaged
_EARLY = 1.0  # seconds before which none is told
_APART = 0.2  # seconds between two samples
_LONGEST = 100 * 3600  # seconds left, over which nobody knows


def words(state: str) -> str:
    """A state as people read it."""
    return _WORDS.get(state) or state[:1].upper() + state[1:]


class Layer:
    """One layer as its events tell it; times in seconds of any clock."""

    def __init__(self) -> None:
        self.state = ""
        self._extracts = False
        self._current = self._total = 0
        self._samples: deque[tuple[float, int]] = deque()

    def take(self, event: LayerProgress, now: float) -> None:
        """Take in what happened; a layer is unpacked while it still comes."""
        if event.state == "extracting":
            self._extracts = True
            if self.state in MOVING:
                return
        self.state = event.state
        if event.state in MOVING:
            self._sample(event.current, now)
            self._current, self._total = event.current, event.total
        elif event.state == "download complete" and self._extracts:
            self.state = "extracting"

    def _sample(self, current: int, now: float) -> None:
        if current < self._current:  # it is sent anew
            self._samples.clear()
        if not self._samples or now - self._samples[-1][0] >= _APART:
            self._samples.append((now, current))

    @property
    def rank(self) -> int:
        """How soon it is to be seen: what moves, what is worked on, what has ended, what waits."""
        if self.state in MOVING:
            return 0
        return 3 if self.state == "waiting" else 1 if self.state in PASSING else 2

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in PASSING

    def speed(self, now: float) -> float | None:
        """Bytes a second over the last seconds; None where too little is known."""
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW:
            self._samples.popleft()
        if not self._samples or now - self._samples[0][0] < _EARLY:
            return None
        began, before = self._samples[0]
        return (self._current - before) / (now - began)

    def line(self, name: str, columns: int, now: float | None) -> Line:
        """It in so many columns; without a time as it was left."""
        text = f"{name} {words(self.state)}"
        if self.state not in MOVING or not self._total:
            return Line(cells.shortened(cells.harmless(text), columns))
        text = cells.harmless(text)
        facts = [f"{human(self._current)}/{human(self._total)}"]
        if now is not None and self._current < self._total:
            facts += self._pace(now)
        return Line(self._laid_out(text, facts, columns))

    def _pace(self, now: float) -> list[str]:
        speed = self.speed(now)
        if speed is None:
            return []
        told = [f"{human(speed)}/s"]
        left = (self._total - self._current) / speed if speed else _LONGEST
        return [*told, f"{_time(left)} left"] if left < _LONGEST else told

    def _laid_out(self, text: str, facts: list[str], columns: int) -> str:
        """All of it with a bar, or without, or as many of the facts as there is room for."""
        beside = " ".join(facts)
        room = min(columns - cells.width(f"{text}  {beside}") - 2, _BAR)
        if room >= _LEAST_BAR:
            return f"{text} {self._bar(room)} {beside}"
        while facts and cells.width(f"{text} {' '.join(facts)}") > columns:
            facts = facts[:-1]
        return cells.shortened(" ".join([text, *facts]), columns)

    def _bar(self, width: int) -> str:
        filled = max(min(width * self._current // self._total, width), 0)
        return f"[{('=' * filled + '>').ljust(width)[:width]}]"


class LayerList:
    """The layers of one image, as they are told of."""

    def __init__(self) -> None:
        self._layers: dict[str, Layer] = {}

    def take(self, event: LayerProgress, now: float) -> None:
        """Take in what happened; what was compressed goes on under the name of its blob."""
        if event.state == "compressed":
            self._layers.pop(event.layer, None)
        else:
            self._layers.setdefault(event.layer, Layer()).take(event, now)

    def whole(self, columns: int) -> list[Line]:
        """All of it as it ended, of any number of lines."""
        return [layer.line(name, columns, None) for name, layer in self._layers.items()]

    def screen(self, columns: int, rows: int, now: float) -> list[Line]:
        """As it stands, in no more than so many lines (one at least)."""
        if len(self._layers) <= max(rows, 1):
            return [layer.line(name, columns, now) for name, layer in self._layers.items()]
        ranked = sorted(self._layers, key=lambda name: self._layers[name].rank)
        seen = set(ranked[: max(rows, 1) - 1])
        lines = [
            layer.line(name, columns, now) for name, layer in self._layers.items() if name in seen
        ]
        return [*lines, self._others([self._layers[each] for each in ranked[len(seen) :]], columns)]

    def _others(self, hidden: Sequence[Layer], columns: int) -> Line:
        """What there is no line for."""
        ended = sum(layer.has_ended for layer in hidden)
        waiting = sum(layer.state == "waiting" for layer in hidden)
        text = f"... and {len(hidden)} more: {ended} done, {waiting} waiting"
        return Line(cells.shortened(text, columns))


def _time(seconds: float) -> str:
    """`4s`, `1m05s`, `2h03m`."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole // 60 % 60:02}m"
