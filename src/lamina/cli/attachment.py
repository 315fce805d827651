"""This terminal attached to a container: what it writes is shown, what is typed goes to it."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from lamina.engine.attaching import Attached
from lamina.engine.container import Container
from lamina.errors import NotRunning
from lamina.fs.atomic import write_all
from lamina.values.detachkeys import DetachKeys

_FORWARDED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT),
)
_CHUNK = 1 << 12


def follow(
    container: Container,
    attached: Attached,
    *,
    stdin: bool,
    keys: str | None = None,
    proxy: bool = True,
) -> int | None:
    """Show and feed until it ends, and give its exit status; None when the keys were typed.

    `keys` are the detach keys, as docker writes them. With `proxy` signals go to the container,
    as far as what is typed does not reach it as it is.
    """
    tty = container.settings.tty
    typed = DetachKeys(keys) if tty and stdin else None
    with (
        _raw_terminal(tty and stdin),
        _forwarding(container, proxy=proxy and not (tty and stdin), tty=tty),
    ):
        is_over = _exchange(attached, stdin=stdin, typed=typed)
    if not is_over:
        return None
    return attached.wait()


def _exchange(attached: Attached, *, stdin: bool, typed: DetachKeys | None) -> bool:
    """Pass bytes both ways; False when the detach keys were typed."""
    sources = [attached.stream.fileno(), *([0] if stdin else [])]
    while True:
        ready, _, _ = select.select(sources, (), ())
        if 0 in ready and not _type(attached, sources, typed):
            return False
        if attached.stream.fileno() in ready:
            pieces = attached.stream.read()
            if pieces is None:
                return True
            for number, data in pieces:
                write_all(number, data)


def _type(attached: Attached, sources: list[int], typed: DetachKeys | None) -> bool:
    data = os.read(0, _CHUNK)
    if not data:
        sources.remove(0)
        attached.stream.end_input()
        return True
    rest = data if typed is None else typed.passed(data)
    if rest is None:
        return False
    attached.stream.send(rest)
    return True


@contextmanager
def _forwarding(container: Container, *, proxy: bool, tty: bool) -> Iterator[None]:
    """What is sent to us is meant for the container; of a terminal, its size."""

    def hand_on(number: int, _frame: FrameType | None) -> None:
        with suppress(NotRunning):
            container.kill(number)

    def resize(number: int, _frame: FrameType | None) -> None:
        assert number == signal.SIGWINCH
        with suppress(OSError):
            container.resize(os.get_terminal_size(0))

    handlers = dict.fromkeys(_FORWARDED, hand_on) if proxy else {}
    if tty and sys.stdin.isatty():
        handlers[signal.SIGWINCH] = resize
    before = {number: signal.signal(number, each) for number, each in handlers.items()}
    if signal.SIGWINCH in before:
        container.reload()
        resize(signal.SIGWINCH, None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _raw_terminal(is_wanted: bool) -> Iterator[None]:
    if not is_wanted or not os.isatty(0):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed already is meant, too
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)
