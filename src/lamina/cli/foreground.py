"""A container in the foreground: signals are handed on, and the terminal is left as it was."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Timer
from types import FrameType

from lamina.execution.running import Running

_FORWARDED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH),
)
_GRACE = 2.0  # seconds for a container whose terminal has hung up


def in_foreground(start: Callable[[], AbstractContextManager[Running]], *, tty: bool) -> int:
    """Start it, wait for its end and give its exit status; raises what `start` raises."""
    has_terminal = tty and os.isatty(0)
    with (
        _terminal_kept(has_terminal),
        _forwarding(has_terminal) as forwarder,
        start() as process,
    ):
        forwarder.begin(process)
        ended = process.wait()
    if ended.words:
        print(f"lamina: {ended.words}", file=sys.stderr)
    return ended.code


class _Forwarder:
    """Hands signals on to the container; one that comes before it runs waits for it.

    A container whose terminal has hung up can be reached by nobody any more: it is told, and ended
    soon after.
    """

    def __init__(self, has_terminal: bool) -> None:
        self._has_terminal = has_terminal
        self._process: Running | None = None
        self._waiting: list[int] = []

    def begin(self, process: Running) -> None:
        self._process = process
        while self._waiting:
            self._hand_on(process, self._waiting.pop(0))

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._waiting.append(number)
        else:
            self._hand_on(self._process, number)

    def _hand_on(self, process: Running, number: int) -> None:
        if number == signal.SIGWINCH:
            if os.isatty(0):
                process.resize(os.get_terminal_size(0))
            return
        process.signal(number)
        if number == signal.SIGHUP and self._has_terminal and not os.isatty(0):
            _end_soon(process)


def _end_soon(process: Running) -> None:
    end = Timer(_GRACE, process.kill)
    end.daemon = True
    end.start()


@contextmanager
def _forwarding(has_terminal: bool) -> Iterator[_Forwarder]:
    """What is sent to us is meant for the container; its end is ours."""
    forwarder = _Forwarder(has_terminal)
    before = {number: signal.signal(number, forwarder) for number in _FORWARDED}
    try:
        yield forwarder
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_kept(is_used: bool) -> Iterator[None]:
    """A runtime sets the terminal to raw mode; when it is killed, nobody else sets it back."""
    if not is_used:
        yield
        return
    import termios

    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)
