"""What holds for every step of one build."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # hardly any build has some
    from lamina.build.cachekey import Fact
    from lamina.build.surroundings import Surroundings


class Settings(NamedTuple):
    """The time that steps carry (`epoch` in seconds since the epoch, else what a clock says), and
    what RUN has around it.
    """

    epoch: int | None
    clock: Callable[[], float]
    surroundings: "Surroundings | None" = None

    @property
    def facts(self) -> "dict[str, Fact]":
        """What a command's result depends on beside its own words."""
        return self.surroundings.facts if self.surroundings is not None else {}

    def now(self) -> float:
        """The time that a step made now carries, in seconds since the epoch."""
        return round(self.clock(), 3) if self.epoch is None else float(self.epoch)
