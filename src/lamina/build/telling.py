"""What a build says to its caller's sink: one event at a time, whichever thread it comes from."""

import threading

from lamina.values.events import Caution, Event, Sink


class Telling:
    """A sink for several threads, over one that is for one; keeps the warnings."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turn = threading.Lock()
        self._warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        """Pass it on."""
        with self._turn:
            self._sink(event)

    def warn(self, text: str) -> None:
        """Send a warning, once, and keep it for the result."""
        with self._turn:
            if text not in self._warnings:
                self._warnings.append(text)
                self._sink(Caution(text))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every sentence that was sent as a warning."""
        return tuple(self._warnings)
