"""What RUN has around it that no Dockerfile says: what it may use, how far it is kept apart, and
whom it finds by which name.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from lamina.build.cachekey import Fact
from lamina.runtime.confinement import Confinement
from lamina.runtime.limits import Limits
from lamina.runtime.naming import Naming


class Surroundings(NamedTuple):
    """Limits of RUN's processes, how far they are kept apart, names with addresses, and the control
    group that theirs lies below.

    Of these a result depends on the limits of single processes and on what they are allowed: only
    they are in its key.
    """

    limits: Limits = Limits()
    confinement: Confinement = Confinement()
    naming: Naming = Naming()
    group_parent: str = ""

    @property
    def facts(self) -> dict[str, Fact]:
        """What a command's result is remembered by."""
        ulimits = [f"{each.name}={each.soft}:{each.hard}" for each in self.limits.ulimits]
        facts: dict[str, Fact] = {"ulimits": sorted(ulimits)} if ulimits else {}
        allowed = list(_allowed(self.confinement))
        return facts | {"rights": sorted(allowed)} if allowed else facts


def _allowed(confinement: Confinement) -> Iterator[str]:
    yield from (f"+{each}" for each in confinement.cap_add)
    yield from (f"-{each}" for each in confinement.cap_drop)
    if confinement.no_new_privileges:
        yield "no-new-privileges"
    if confinement.unmasked:
        yield "unmasked"
    if confinement.apparmor:
        yield f"apparmor={confinement.apparmor}"
    if confinement.seccomp:
        yield f"seccomp={hashlib.sha256(confinement.seccomp.encode()).hexdigest()}"
