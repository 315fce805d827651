"""`RUN --mount=...`: what is asked for, as a value. Pure; BuildKit's keys, defaults and refusals.

    type=bind|cache|tmpfs|secret|ssh, from, source, target, id, sharing, required, size, mode, ...

Knows no file: paths are as written, but for the variables in them.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import DockerfileError, InvalidSize
from lamina.values.size import parse as parse_size

KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARINGS = ("shared", "private", "locked")
SECRETS = "/run/secrets/"
AGENT = "/run/buildkit/ssh_agent."
_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "readwrite": "rw",
}
_SWITCHES = ("readonly", "rw", "required")
_OF_KIND = {
    "bind": frozenset(("from", "source", "target", "readonly", "rw")),
    "cache": frozenset(
        ("from", "source", "target", "readonly", "rw", "id", "sharing", "mode", "uid", "gid")
    ),
    "tmpfs": frozenset(("target", "size", "readonly", "rw")),
    "secret": frozenset(
        ("id", "source", "target", "readonly", "required", "mode", "uid", "gid", "env")
    ),
    "ssh": frozenset(("id", "target", "readonly", "required", "mode", "uid", "gid")),
}
_EVERY = frozenset().union(*_OF_KIND.values())
_OCTAL = re.compile(r"[0-7]{1,5}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_ID_LIMIT = (1 << 31) - 1
_LONGEST = 4096  # characters of one --mount


class Mount(NamedTuple):
    """One --mount.

    `target` is empty for a secret that is only a variable (`env`); `size` is in bytes. `mode`,
    `uid` and `gid` are None where they were not given.
    """

    kind: str
    target: str
    from_: str = ""
    source: str = ""
    id: str = ""
    readonly: bool = False
    sharing: str = "shared"
    required: bool = False
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str = ""


def parse(text: str, expand: Callable[[str], str] = str) -> Mount:
    """Read one --mount, the variables of its values replaced by `expand`.

    Raises `DockerfileError` without a place.
    """
    given = _fields(text)
    kind = given.pop("type", "bind").lower()
    if kind not in KINDS:
        raise DockerfileError(
            f"unsupported mount type {kind!r}", hint=f"it is one of {', '.join(KINDS)}"
        )
    for key in given:
        if key not in _OF_KIND[kind]:
            raise _unexpected(key, kind)
    origin = given.get("from", "")
    if "$" in origin:
        raise DockerfileError(
            "variables are not expanded in from= of a mount",
            hint="define a stage with FROM ... AS and mount that",
        )
    values = {key: value if key == "from" else expand(value) for key, value in given.items()}
    return _checked(_mount(kind, values))


def origin_of(text: str) -> str:
    """The stage, context or image that a --mount names; "" for none."""
    return _fields(text).get("from", "")


def values_of(text: str) -> list[str]:
    """The values of a --mount in which variables are replaced."""
    return [value for key, value in _fields(text).items() if key not in ("type", "from")]


def _fields(text: str) -> dict[str, str]:
    """Keys with their values; a switch's is `true` or `false`."""
    if len(text) > _LONGEST:
        raise DockerfileError(f"a --mount is longer than {_LONGEST} characters")
    import csv  # only a mount needs it

    try:
        (parts,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise DockerfileError(f"--mount={text} cannot be read: its quotes do not match") from None
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        key = name.strip().lower()
        key = _ALIASES.get(key, key)
        if key not in _EVERY and key != "type":
            raise _unexpected(name, "")
        if key in _SWITCHES:
            value = _switch(name, value) if equals else "true"
        elif not equals:
            raise DockerfileError(f"invalid field {part!r} of a mount: it must be key=value")
        found[key] = value
    return found


def _switch(name: str, value: str) -> str:
    lowered = value.lower()
    if lowered in ("true", "1", "false", "0"):
        return "true" if lowered in ("true", "1") else "false"
    raise DockerfileError(f"invalid value for {name} of a mount: {value!r} is not true or false")


def _unexpected(key: str, kind: str) -> DockerfileError:
    from difflib import get_close_matches  # only a mistake needs it

    if kind:
        return DockerfileError(
            f"unexpected key {key!r} for mount type {kind!r}",
            hint=f"it has {', '.join(sorted(_OF_KIND[kind]))}",
        )
    near = get_close_matches(key[:40].lower(), [*_EVERY, *_ALIASES], 1)
    return DockerfileError(
        f"unexpected key {key!r} of a mount", hint=f"did you mean {near[0]}?" if near else ""
    )


def _mount(kind: str, values: dict[str, str]) -> Mount:
    writable = kind in ("cache", "tmpfs")
    if "rw" in values:
        writable = values["rw"] == "true"
    if "readonly" in values:
        writable = values["readonly"] == "false"
    return Mount(
        kind=kind,
        target=values.get("target", ""),
        from_=values.get("from", ""),
        source=values.get("source", ""),
        id=values.get("id", ""),
        readonly=not writable,
        sharing=values.get("sharing", "shared").lower(),
        required=values.get("required") == "true",
        size=_size(values.get("size")),
        mode=_mode(values.get("mode")),
        uid=_number("uid", values.get("uid")),
        gid=_number("gid", values.get("gid")),
        env=values.get("env", ""),
    )


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except InvalidSize as error:
        raise DockerfileError(error.brief, hint=error.hint) from None


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    if not _OCTAL.fullmatch(text) or int(text, 8) > 0o7777:
        raise DockerfileError(f"invalid value {text!r} for mode of a mount: it is octal, as 0400")
    return int(text, 8)


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > _ID_LIMIT:
        raise DockerfileError(f"invalid value {text!r} for {name} of a mount: it is a number")
    return int(text)


def _checked(mount: Mount) -> Mount:
    """Refuse what no mount can be, and fill in what follows from the rest."""
    if mount.sharing not in SHARINGS:
        raise DockerfileError(
            f"unsupported sharing value {mount.sharing!r}", hint=f"it is {' or '.join(SHARINGS)}"
        )
    if mount.kind == "secret":
        return _secret(mount)
    if mount.kind == "ssh":
        return mount._replace(id=mount.id or "default")
    if not mount.target:
        raise DockerfileError(f"a {mount.kind} mount needs a target")
    return mount


def _secret(mount: Mount) -> Mount:
    if mount.id and mount.source:
        raise DockerfileError("a secret mount has an id or a source, not both")
    name = mount.id or mount.source or mount.target.rstrip("/").rpartition("/")[2]
    if not name:
        raise DockerfileError("invalid secret mount: one of id, source, target is required")
    target = mount.target
    if not target and not mount.env:
        target = SECRETS + name.rstrip("/").rpartition("/")[2]
    return mount._replace(id=name, source="", target=target)
