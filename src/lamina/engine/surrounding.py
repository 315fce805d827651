"""What RUN is to have around it, from what people write; loaded by a build that is told of it."""

from collections.abc import Sequence

from lamina.build.surroundings import Surroundings
from lamina.engine.wishes import Limited
from lamina.engine.wishing import limits_of
from lamina.runtime.naming import naming
from lamina.values.size import parse as parse_size


def surroundings(
    limited: Limited, shm_size: int | str | None, hosts: Sequence[str]
) -> Surroundings:
    """Limits as of containers, a size, and hosts as docker's `--add-host`; raises `UsageError`."""
    size = parse_size(str(shm_size)) if shm_size else 0
    return Surroundings(limits_of(limited), size, naming(hosts, (), (), (), "host"))
