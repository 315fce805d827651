"""What `lamina build` is told of RUN's surroundings; not loaded by other builds."""

from lamina.build.surroundings import Surroundings
from lamina.cli.flags import Parsed
from lamina.cli.limitflags import limited
from lamina.engine.surrounding import surroundings
from lamina.engine.wishes import Around
from lamina.errors import UsageError

_RESOURCES = (
    *("cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems"),
    *("memory", "memory-swap"),
)


def around(given: Parsed) -> Surroundings:
    """The surroundings that the flags ask for; raises `UsageError`."""
    said = Around(
        shm_size=given.one("shm-size"),
        extra_hosts=given.all("add-host"),
        dns=given.all("dns"),
        dns_search=given.all("dns-search"),
        dns_opt=given.all("dns-option"),
        cap_add=given.all("cap-add"),
        cap_drop=given.all("cap-drop"),
        security_opt=given.all("security-opt"),
        cgroup_parent=given.one("cgroup-parent") or "",
    )
    return surroundings(limited(_with_resources(given)), said)


def _with_resources(given: Parsed) -> Parsed:
    """The same, each `--resource KEY=VALUE` as the flag of that name."""
    values = dict(given.values)
    for text in given.all("resource"):
        for part in text.split(","):
            key, equals, value = part.strip().partition("=")
            if not equals or key not in _RESOURCES:
                hint = f"it is KEY=VALUE: {', '.join(_RESOURCES)}"
                raise UsageError(f"--resource {text!r} is unknown", hint=hint)
            values[key] = [value]
    return Parsed(values, given.operands)
