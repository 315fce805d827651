"""What RUN is to have around it, from what people write; loaded by a build that is told of it."""

from lamina.build.surroundings import Surroundings
from lamina.engine.wishes import Around, Limited
from lamina.engine.wishing import limits_of
from lamina.runtime.capabilities import named
from lamina.runtime.confinement import Confinement
from lamina.runtime.naming import naming
from lamina.runtime.spelling import with_security
from lamina.values.size import parse as parse_size


def surroundings(limited: Limited, around: Around) -> Surroundings:
    """Limits, rights and names as of containers; raises `UsageError`."""
    size = parse_size(str(around.get("shm_size") or 0))
    confinement = Confinement(
        cap_add=tuple(named(each) for each in around.get("cap_add", ())),
        cap_drop=tuple(named(each) for each in around.get("cap_drop", ())),
    )
    if size:
        confinement = confinement._replace(shm_size=size)
    names = naming(
        around.get("extra_hosts", ()),
        around.get("dns", ()),
        around.get("dns_search", ()),
        around.get("dns_opt", ()),
        "host",
    )
    confinement = with_security(confinement, around.get("security_opt", ()))
    return Surroundings(limits_of(limited), confinement, names)
