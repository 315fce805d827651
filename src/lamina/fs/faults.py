"""Named points at which a test may kill this very process, as a power button would.

`LAMINA_TEST_CRASH=<name>[:<count>]` ends the process by SIGKILL when the named point is reached
for the count-th time. Without that variable a point costs one comparison.
"""

import os
import signal

_wanted, _, _count = os.environ.get("LAMINA_TEST_CRASH", "").partition(":")
_left = [int(_count) if _count.isdigit() else 1]


def crash_point(name: str) -> None:
    """Die here when a test asked for it."""
    if name != _wanted:
        return
    _left[0] -= 1
    if _left[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
