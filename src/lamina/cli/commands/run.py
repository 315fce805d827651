"""`lamina run`: in the foreground, its exit status is the command's."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from lamina.cli.containerflags import FLAGS, RUN_FLAGS, made
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.engine.containers import Container
from lamina.errors import LaminaError, UsageError
from lamina.execution.run import Running, Stdio

USAGE = Usage(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container and run a command in it, in the foreground",
    (*FLAGS, *RUN_FLAGS),
    1,
    None,
    True,
)
_FORWARDED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH),
)


def run(context: Context, given: Parsed) -> int:
    """Run to the end; errors before the start end with 125, 126 or 127."""
    if given.has("tty") and not os.isatty(0):
        raise UsageError("the input device is not a terminal", hint="leave out --tty")
    sys.stdout.flush()
    try:
        with engine(context) as opened:
            container = made(opened, given, auto_remove=given.has("rm"))
            try:
                return _foreground(container, given)
            finally:
                if given.has("rm"):
                    container.discard()
    except LaminaError as error:
        error.exit_code = error.exit_code if error.exit_code in (126, 127) else 125
        raise


def _foreground(container: Container, given: Parsed) -> int:
    stdin = 0 if given.has("interactive") or given.has("tty") else None
    with (
        _terminal_kept(given.has("tty")),
        _forwarding() as forwarder,
        container.running(Stdio(stdin, 1, 2)) as process,
    ):
        forwarder.begin(process)
        return process.wait().code


class _Forwarder:
    """Hands signals on to the container; one that comes before it runs waits for it."""

    def __init__(self) -> None:
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

    @staticmethod
    def _hand_on(process: Running, number: int) -> None:
        if number == signal.SIGWINCH:
            if os.isatty(0):
                process.resize(os.get_terminal_size(0))
        else:
            process.signal(number)


@contextmanager
def _forwarding() -> Iterator[_Forwarder]:
    """What is sent to us is meant for the container; its end is ours."""
    forwarder = _Forwarder()
    before = {number: signal.signal(number, forwarder) for number in _FORWARDED}
    try:
        yield forwarder
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_kept(is_used: bool) -> Iterator[None]:
    """The runtime sets the terminal to raw mode; when it is killed, nobody else sets it back."""
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
