"""What holds for every step of one build."""

from collections.abc import Callable
from typing import NamedTuple


class Settings(NamedTuple):
    """The time that steps carry: `epoch` in seconds since the epoch, else what a clock says."""

    epoch: int | None
    clock: Callable[[], float]

    def now(self) -> float:
        """The time that a step made now carries, in seconds since the epoch."""
        return round(self.clock(), 3) if self.epoch is None else float(self.epoch)
