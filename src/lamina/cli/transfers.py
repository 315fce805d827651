"""Layers on their way, a line for each, as docker's users know them.

On a terminal a line is drawn over as its layer moves; elsewhere only what is final is written.
"""

from typing import TextIO

from lamina.cli.flags import Flag, Parsed
from lamina.values.events import Caution, Event, LayerProgress, Notice
from lamina.values.size import human

TLS_VERIFY = Flag("tls-verify", "", "", "=false: take any certificate, and a registry without TLS")
PULL = Flag("pull", "", "WHEN", "pull the image when missing (the default), always, newer or never")
_WIDTH = 30  # cells of a bar
_MOVING = ("downloading", "pushing", "copying")
_PASSING = (*_MOVING, "download complete", "extracting", "compressing")
_WORDS = {"complete": "Pull complete"}


def verifies_tls(given: Parsed) -> bool:
    """Whether a registry must prove who it is: unless `--tls-verify=false` was given."""
    return given.one(TLS_VERIFY.name) != "false"


class Transfers:
    """Shows events on a stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._draws = out.isatty()
        self._lines: dict[str, int] = {}

    def show(self, event: Event) -> None:
        """Write or draw what an event says."""
        if isinstance(event, LayerProgress):
            if self._draws or event.state not in _PASSING:
                self._line(event.layer, f"{event.layer}: {_told(event)}")
        elif isinstance(event, Notice):
            self._line("", event.text)
        elif isinstance(event, Caution):
            self._line("", f"warning: {event.text}")

    def _line(self, layer: str, text: str) -> None:
        if not self._draws or layer not in self._lines:
            self._lines[layer or f"#{len(self._lines)}"] = len(self._lines)
            self._out.write(text + "\n")
        else:
            up = len(self._lines) - self._lines[layer]
            self._out.write(f"\x1b[{up}A\r\x1b[2K{text}\x1b[{up}B\r")
        self._out.flush()


def _told(event: LayerProgress) -> str:
    words = _WORDS.get(event.state) or event.state[:1].upper() + event.state[1:]
    if event.state not in _MOVING or not event.total:
        return words
    filled = _WIDTH * event.current // event.total
    bar = ("=" * filled + ">").ljust(_WIDTH)[:_WIDTH]
    return f"{words} [{bar}] {human(event.current)}/{human(event.total)}"
