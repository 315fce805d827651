"""Named points at which a test may kill or stop this very process, as a power button would.

`LAMINA_TEST_CRASH=<name>[:<count>]` ends the process by SIGKILL when the named point is reached
for the count-th time; `LAMINA_TEST_STOP=<name>[:<count>]` stops it there by SIGSTOP, until
somebody continues it. Without these variables a point costs two comparisons.
"""

import os


class _Wish:
    """What the environment asks for: a signal at the count-th passing of a point."""

    def __init__(self, variable: str, signal: str) -> None:
        self.name, _, count = os.environ.get(variable, "").partition(":")
        self._left = int(count) if count.isdigit() else 1
        self._signal = signal

    def passed(self) -> None:
        """Count one passing."""
        self._left -= 1
        if self._left == 0:
            import signal

            os.kill(os.getpid(), getattr(signal, self._signal))


_crash = _Wish("LAMINA_TEST_CRASH", "SIGKILL")
_stop = _Wish("LAMINA_TEST_STOP", "SIGSTOP")


def crash_point(name: str) -> None:
    """Die or stop here when a test asked for it."""
    if name == _crash.name:
        _crash.passed()
    if name == _stop.name:
        _stop.passed()
