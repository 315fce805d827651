"""What RUN is to have around it, from what people write; loaded by a build that is told of it."""

import re

from lamina.build.surroundings import Surroundings
from lamina.engine.wishes import Around, Limited
from lamina.engine.wishing import limits_of
from lamina.errors import UsageError
from lamina.runtime.capabilities import named
from lamina.runtime.confinement import Confinement
from lamina.runtime.naming import naming
from lamina.runtime.spelling import with_security
from lamina.values.size import parse as parse_size

_USUAL = ("", "default")
_GROUP = re.compile(r"[A-Za-z0-9_.:@-]+(?:/[A-Za-z0-9_.:@-]+)*", re.ASCII)


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
    parent = _group(around.get("cgroup_parent", ""))
    return Surroundings(limits_of(limited), confinement, names, parent)


def _group(text: str) -> str:
    """A control group's path beneath each hierarchy; "" for the usual one."""
    path = text.strip("/")
    parts = path.split("/")
    if text in _USUAL:
        return ""
    if not _GROUP.fullmatch(path) or ".." in parts or "." in parts:
        raise UsageError(
            f"invalid control group {text[:100]!r}", hint="write it as /NAME[/NAME...]"
        )
    return path
