"""docker's seccomp profiles as filters.

A profile is one text for all machines: which of its rules hold depends on the architecture, the
capabilities that the process gets, and the kernel (moby, profiles/seccomp). A plain OCI profile
is one, too. Everything that is not understood is refused, never skipped.
"""

import errno

from lamina.errors import UsageError
from lamina.runtime.syscalls import MACHINES, Machine
from lamina.spec.strictjson import Json, parse
from lamina.values.syscallfilter import Argument, Filter, Rule

_ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in (
        *("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD"),
        *("LOG", "NOTIFY", "TRACE", "TRAP"),
    )
)
_OPERATORS = frozenset(
    f"SCMP_CMP_{name}" for name in ("EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE")
)
_PROFILE = frozenset(
    (
        *("defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap"),
        *("syscalls", "flags"),
    )
)
_RULE = frozenset(
    (
        *("name", "names", "action", "errnoRet", "errno", "args"),
        *("comment", "includes", "excludes"),
    )
)
_CONDITION = frozenset(("arches", "caps", "minKernel"))
_ARGUMENTS = 6  # of a system call
_LARGEST_ERROR = 0xFFFF  # SECCOMP_RET_DATA; of a larger one a filter would see the lower half


def check(text: str) -> None:
    """Raise `UsageError` or `BadDocument` for what is no profile, whatever the machine."""
    profile = _profile(text)
    for rule in _rules(profile):
        for key in ("includes", "excludes"):
            _condition(rule, key)
        _converted(rule)


def converted(text: str, machine: Machine) -> Filter:
    """The filter that a profile means here; raises `UsageError`."""
    profile = _profile(text)
    return Filter(
        _action(profile.get("defaultAction")),
        _errno(profile, "defaultErrno"),
        _architectures(profile, machine),
        tuple(_converted(rule) for rule in _rules(profile) if _holds(rule, machine)),
        _words(profile, "flags", "SECCOMP_FILTER_FLAG_"),
    )


def _profile(text: str) -> dict[str, Json]:
    profile = parse(text.encode(), "seccomp profile")
    unknown = sorted(profile.keys() - _PROFILE)
    if unknown:
        raise _bad(f"{unknown[0][:40]!r} is not understood")
    _action(profile.get("defaultAction"))
    _errno(profile, "defaultErrno")
    _words(profile, "flags", "SECCOMP_FILTER_FLAG_")
    _words(profile, "architectures", "SCMP_ARCH_")
    for each in _list(profile, "archMap"):
        if not isinstance(each, dict):
            raise _bad(f"the architecture {str(each)[:40]!r} is not understood")
        _words(each, "subArchitectures", "SCMP_ARCH_")
    return profile


def _rules(profile: dict[str, Json]) -> list[dict[str, Json]]:
    found = []
    for rule in _list(profile, "syscalls"):
        if not isinstance(rule, dict) or not _RULE.issuperset(rule):
            raise _bad(f"a rule is not understood: {str(rule)[:80]}")
        found.append(rule)
    return found


def _architectures(profile: dict[str, Json], machine: Machine) -> tuple[str, ...]:
    """The machine's own and those whose programs it executes, too."""
    listed = _words(profile, "architectures", "SCMP_ARCH_")
    if listed:
        return listed
    own = MACHINES.get(machine.name, ("", ""))[1]
    for each in _list(profile, "archMap"):
        if isinstance(each, dict) and each.get("architecture") == own:
            return (own, *_words(each, "subArchitectures", "SCMP_ARCH_"))
    return (own,) if own else ()


def _holds(rule: dict[str, Json], machine: Machine) -> bool:
    includes, excludes = _condition(rule, "includes"), _condition(rule, "excludes")
    arch = MACHINES.get(machine.name, (machine.name, ""))[0]
    if "arches" in includes and arch not in _list(includes, "arches"):
        return False
    if arch in _list(excludes, "arches"):
        return False
    if any(each not in machine.capabilities for each in _list(includes, "caps")):
        return False
    if any(each in machine.capabilities for each in _list(excludes, "caps")):
        return False
    if "minKernel" in includes and machine.kernel < _version(includes["minKernel"]):
        return False
    return not ("minKernel" in excludes and machine.kernel >= _version(excludes["minKernel"]))


def _condition(rule: dict[str, Json], key: str) -> dict[str, Json]:
    condition = rule.get(key) or {}
    if not isinstance(condition, dict) or not _CONDITION.issuperset(condition):
        raise _bad(f"the condition {str(condition)[:80]} is not understood")
    _words(condition, "arches", "")
    _words(condition, "caps", "CAP_")
    if condition.get("minKernel"):
        _version(condition["minKernel"])
    return {name: value for name, value in condition.items() if value}


def _converted(rule: dict[str, Json]) -> Rule:
    single = rule.get("name")
    names = _words(rule, "names", "") or ((single,) if isinstance(single, str) else ())
    if not names or not all(names):
        raise _bad("a rule names no system call")
    arguments = tuple(_argument(each) for each in _list(rule, "args"))
    return Rule(names, _action(rule.get("action")), _errno(rule, "errno"), arguments)


def _errno(holder: dict[str, Json], key: str) -> int | None:
    """The number that a denied call returns: as it is, else by its name (podman's form)."""
    number, name = holder.get(f"{key}Ret"), holder.get(key)
    if number is None and name:
        number = getattr(errno, name, None) if isinstance(name, str) else None
        if not isinstance(number, int):
            raise _bad(f"there is no error {str(name)[:40]!r}")
    return None if number is None else _number(number, _LARGEST_ERROR)


def _argument(argument: Json) -> Argument:
    op = argument.get("op") if isinstance(argument, dict) else None
    if not isinstance(argument, dict) or not isinstance(op, str) or op not in _OPERATORS:
        raise _bad(f"the argument {str(argument)[:80]} is not understood")
    index = _number(argument.get("index", 0), _ARGUMENTS - 1)
    value, value_two = (_number(argument.get(key, 0)) for key in ("value", "valueTwo"))
    return Argument(index, op, value, value_two)


def _action(action: Json) -> str:
    if not isinstance(action, str) or action not in _ACTIONS:
        raise _bad(f"it has no action {str(action)[:40]!r}")
    return action


def _number(value: Json, largest: int = (1 << 64) - 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise _bad(f"{str(value)[:40]!r} is no number from 0 to {largest}")
    return value


def _version(text: Json) -> tuple[int, int]:
    try:
        major, minor = str(text).split(".")[:2]
        return int(major), int(minor)
    except ValueError:
        raise _bad(f"{str(text)[:40]!r} is no kernel's version") from None


def _list(holder: dict[str, Json], key: str) -> list[Json]:
    value = holder.get(key)
    if value is not None and not isinstance(value, list):
        raise _bad(f"`{key}` is no list")
    return value or []


def _words(holder: dict[str, Json], key: str, prefix: str) -> tuple[str, ...]:
    """A list of texts that begin so."""
    found = []
    for each in _list(holder, key):
        if not isinstance(each, str) or not each.startswith(prefix):
            raise _bad(f"{str(each)[:40]!r} in `{key}` is not understood")
        found.append(each)
    return tuple(found)


def _bad(why: str) -> UsageError:
    return UsageError(f"the seccomp profile cannot be used: {why}")
