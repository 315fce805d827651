"""What RUN has around it that no Dockerfile says: what it may use, and further names of hosts."""

from typing import NamedTuple

from lamina.build.cachekey import Fact
from lamina.runtime.limits import Limits
from lamina.runtime.naming import Naming


class Surroundings(NamedTuple):
    """Limits of RUN's processes, the size of /dev/shm in bytes (0: docker's), names with addresses.

    Of these a result depends on the limits of single processes alone: only they are in its key.
    """

    limits: Limits = Limits()
    shm_size: int = 0
    naming: Naming = Naming()

    @property
    def facts(self) -> dict[str, Fact]:
        """What a command's result is remembered by."""
        ulimits = [f"{each.name}={each.soft}:{each.hard}" for each in self.limits.ulimits]
        return {"ulimits": sorted(ulimits)} if ulimits else {}
