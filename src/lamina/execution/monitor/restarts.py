"""When a container that has ended is started again, by docker's rules (moby, restartmanager)."""

import os

_SHORT, _LONG = 0.1, 60.0  # seconds before a start: the first, doubled each time, and the most
_WELL = 10.0  # seconds that a container has to run to be started soon again


class Restarts:
    """`policy` is docker's (`no`, `always`, `unless-stopped`, `on-failure`) and the most restarts
    of a failing one (0: any number); `mark` is a file that is there once it was asked to stop, and
    `changed` one that has another policy, if it was changed since.
    """

    def __init__(self, policy: str, mark: str, changed: str) -> None:
        self._said = policy
        self._mark = mark
        self._changed = changed
        self._delay = 0.0
        self.count = 0

    @property
    def is_stopped(self) -> bool:
        """Whether it was asked to end, and is not to be started again."""
        return os.path.exists(self._mark)

    def wants(self, code: int) -> bool:
        """Whether it is to be started again after it ended with that status."""
        policy, most = self._now().split()
        if policy == "no" or self.is_stopped:
            return False
        if policy == "on-failure":
            return code != 0 and (most == "0" or self.count < int(most))
        return True

    def _now(self) -> str:
        try:
            with open(self._changed, encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return self._said

    def delay(self, lasted: float) -> float:
        """Seconds until then, where it has run for so many."""
        grown = _SHORT if lasted >= _WELL or not self._delay else 2 * self._delay
        self._delay = min(grown, _LONG)
        return self._delay
