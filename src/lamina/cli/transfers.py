"""Layers on their way, as docker's users know them: drawn on a terminal, else what is final.

What draws and what writes JSON is loaded when it is wanted: a container that needs no image loads
neither.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lamina.cli.flags import Flag, Parsed
from lamina.cli.progressflag import can_be_drawn_on, kind_of_progress
from lamina.values.events import Caution, Event, LayerProgress, Notice, Sink, ignore

if TYPE_CHECKING:
    from lamina.cli.canvas import Animation
    from lamina.cli.layerlist import LayerList

TLS_VERIFY = Flag("tls-verify", "", "", "=false: take any certificate, and a registry without TLS")
PULL = Flag("pull", "", "WHEN", "pull the image when missing (the default), always, newer or never")


def verifies_tls(given: Parsed) -> bool:
    """Whether a registry must prove who it is: unless `--tls-verify=false` was given."""
    return given.one(TLS_VERIFY.name) != "false"


@contextmanager
def transferring(given: Parsed, plain: Sink | None = None) -> Iterator[Sink]:
    """A sink of events that shows them as `--progress` and `--json` say, for the block's time.

    `plain` is told where lines are to be written, instead of those on standard output, and also
    when it is to be quiet.
    Raises `UsageError`.
    """
    kind = kind_of_progress(given, sys.stdout, "output")
    if kind == "quiet":
        yield plain or ignore
    elif kind == "json":
        from lamina.cli.progresslines import Documents

        yield Documents(sys.stderr).show
    elif kind == "tty":
        with drawn(sys.stdout) as shown:
            yield shown.show
    else:
        yield plain or Lines(sys.stdout).show


@contextmanager
def shown_on(out: TextIO) -> Iterator[Sink]:
    """A sink of events that draws them on a terminal, or writes them as lines."""
    if not can_be_drawn_on(out):
        yield Lines(out).show
        return
    with drawn(out) as shown:
        yield shown.show


@contextmanager
def drawn(out: TextIO) -> "Iterator[Drawing]":
    """A list of layers on a terminal; however the block ends, it stands whole then."""
    shown = Drawing(out)
    try:
        yield shown
    finally:
        shown.end()


class Lines:
    """Writes what is final, a line each."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        """Write what an event says."""
        if isinstance(event, LayerProgress):
            from lamina.cli.layerlist import PASSING, words

            if event.state not in PASSING:
                self._line(f"{event.layer}: {words(event.state)}")
        elif isinstance(event, Notice):
            self._line(event.text)
        elif isinstance(event, Caution):
            self._line(f"warning: {event.text}")

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class Drawing:
    """Draws a list of layers, from the first event on."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._list: tuple[Animation, LayerList] | None = None

    def show(self, event: Event) -> None:
        """Take down what an event says, to be drawn."""
        shown, layers = self._list = self._list or self._begun()
        with shown.taking:
            if isinstance(event, LayerProgress):
                layers.take(event, self._clock())
            elif isinstance(event, Notice):
                shown.say(event.text)
            elif isinstance(event, Caution):
                shown.say(f"warning: {event.text}")

    def _begun(self) -> "tuple[Animation, LayerList]":
        from lamina.cli.canvas import Animation
        from lamina.cli.layerlist import LayerList

        layers = LayerList()
        shown = Animation(
            self._out, lambda columns, rows: layers.screen(columns, rows, self._clock()), {}
        )
        shown.begin()
        return shown, layers

    def end(self) -> None:
        """The list stands as it is; an event that still comes begins another one."""
        listed, self._list = self._list, None
        if listed is not None:
            shown, layers = listed
            shown.end(layers.whole, list)
