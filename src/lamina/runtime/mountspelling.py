"""docker's spellings of what a container is shown: `--volume`, `--mount`, `--volumes-from`.

Text to values. What is asked for and would have no effect is refused.
"""

import os
import posixpath
from collections.abc import Callable, Container, Iterable

from lamina.errors import InvalidSize, UsageError
from lamina.runtime.process import Tmpfs, Volume
from lamina.runtime.tmpfs import checked
from lamina.values.size import parse as parse_size

_PRIVATE = ("", "private", "rprivate")
_SHARED = ("shared", "rshared", "slave", "rslave")
_NOTHING = ("cached", "consistent", "delegated", "default", "z", "Z")  # matters of other systems
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_OF_KIND = {
    "bind": ("bind-propagation", "bind-nonrecursive", "bind-recursive"),
    "volume": ("volume-nocopy", "volume-label", "volume-driver"),
    "tmpfs": ("tmpfs-size", "tmpfs-mode"),
}
_COMMON = ("type", "source", "target", "readonly", "consistency")


def volume(text: str, made: Container[str] = ()) -> Volume:
    """`[SOURCE:]TARGET[:OPTIONS]`: a path of this machine, a volume's name, or neither.

    A relative path begins with a dot. What is to be `made` may be missing. Raises `UsageError`.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"invalid volume {text[:200]!r}", hint="write it as SOURCE:/TARGET[:ro]")
    if len(parts) == 1:
        return _volume("", parts[0], made)
    found = _volume(parts[0], parts[1], made)
    for option in parts[2].split(",") if len(parts) == 3 else ():
        found = _with_option(found, option)
    return found


def _volume(source: str, target: str, made: Container[str]) -> Volume:
    if source.startswith(("/", ".", "~")):
        return Volume(_existing(source, made), _absolute(target), False)
    return Volume("", _absolute(target), False, source)


def _existing(source: str, made: Container[str]) -> str:
    """A path of this machine, absolute. docker makes it when it is missing; a typo is likelier."""
    path = os.path.abspath(os.path.expanduser(source))
    if path not in made and not os.path.exists(path):
        raise UsageError(f"the volume's source {path} does not exist", hint="make it first")
    return path


def _absolute(target: str) -> str:
    path = posixpath.normpath(target) if target.startswith("/") else ""
    if path.strip("/") == "":
        raise UsageError(
            f"invalid mount point {target[:100]!r}", hint="give an absolute path other than /"
        )
    return "/" + path.strip("/")


def _with_option(found: Volume, option: str) -> Volume:
    if option in ("ro", "rw"):
        return found._replace(readonly=option == "ro")
    if option == "nocopy" and found.is_kept:
        return found._replace(copies=False)
    if option in ("rbind", "bind") and not found.is_kept:
        return found._replace(recursive=option == "rbind")
    if option not in _NOTHING:
        _check_propagation(option)
    return found


def _check_propagation(word: str) -> None:
    if word in _SHARED:
        raise UsageError(
            f"the mount propagation {word} cannot be had: a container's mounts are in no other"
            " mount table",
            hint="leave it out",
        )
    if word not in _PRIVATE:
        raise UsageError(f"invalid volume option {word[:40]!r}", hint="there are ro, rw and nocopy")


def mount(text: str, made: Container[str] = ()) -> Volume | Tmpfs:
    """`type=bind|volume|tmpfs,source=...,target=...[,OPTION...]`; raises `UsageError`.

    A source that is to be `made` may be missing.
    """
    said = _said(text)
    kind = said.pop("type", ["volume"])[-1]
    if kind not in _OF_KIND:
        raise UsageError(
            f"unknown mount type {kind[:40]!r}", hint=f"there are {', '.join(_OF_KIND)}"
        )
    for key in said:
        if key not in (*_COMMON, *_OF_KIND[kind]):
            raise _unknown(key, kind)
    if "target" not in said:
        raise UsageError(f"the mount {text[:100]!r} has no target", hint="say target=/PATH")
    makers: dict[str, Callable[[_Said], Volume | Tmpfs]] = {
        "bind": lambda said: _bind(said, made),
        "volume": _kept,
        "tmpfs": _tmpfs,
    }
    return makers[kind](said)


_Said = dict[str, list[str]]


def _said(text: str) -> _Said:
    """The pairs of one line of comma-separated values, by their proper keys."""
    import csv  # few need it

    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise UsageError(f"invalid mount {text[:100]!r}: {error}") from None
    said: _Said = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        said.setdefault(key, []).append(value if equals else "true")
    return said


def _unknown(key: str, kind: str) -> UsageError:
    from difflib import get_close_matches  # only who mistypes needs it

    for other, keys in _OF_KIND.items():
        if key in keys:
            return UsageError(f"{key} belongs to mounts of type {other}, and this is one of {kind}")
    near = get_close_matches(key[:40], [*_COMMON, *_OF_KIND[kind], *_ALIASES], 1)
    hint = f"did you mean {near[0]}?" if near else "see `lamina run --help`"
    return UsageError(f"unknown option {key[:40]!r} of a mount", hint=hint)


def _last(said: _Said, key: str) -> str:
    return said.get(key, [""])[-1]


def _flag(said: _Said, key: str) -> bool:
    value = _last(said, key).lower()
    if value not in ("", "true", "1", "false", "0"):
        raise UsageError(f"{key} is true or false, and not {value[:40]!r}")
    return value in ("true", "1")


def _bind(said: _Said, made: Container[str]) -> Volume:
    _check_propagation(_last(said, "bind-propagation"))
    source = _last(said, "source")
    if not source:
        raise UsageError("a mount of type bind has no source", hint="say source=PATH")
    above = _flag(said, "bind-nonrecursive") or _last(said, "bind-recursive") == "disabled"
    target = _absolute(_last(said, "target"))
    return Volume(_existing(source, made), target, _flag(said, "readonly"), recursive=not above)


def _kept(said: _Said) -> Volume:
    driver = _last(said, "volume-driver")
    if driver not in ("", "local"):
        raise UsageError(f"there is no volume driver {driver[:40]!r}", hint="there is local")
    if "volume-label" in said:
        raise UsageError(
            "a mount gives no labels to a volume", hint="make it with `lamina volume create`"
        )
    target = _absolute(_last(said, "target"))
    copies = not _flag(said, "volume-nocopy")
    name = _last(said, "source")
    return Volume("", target, _flag(said, "readonly"), name, copies=copies)


def _tmpfs(said: _Said) -> Tmpfs:
    if "source" in said:
        raise UsageError("a mount of type tmpfs has no source", hint="leave it out")
    options = ["ro"] if _flag(said, "readonly") else []
    if "tmpfs-size" in said:
        try:
            options.append(f"size={parse_size(_last(said, 'tmpfs-size'))}")
        except InvalidSize as error:
            raise UsageError(f"tmpfs-size: {error}") from None
    if "tmpfs-mode" in said:
        options.append(f"mode={_last(said, 'tmpfs-mode')}")
    return checked(Tmpfs(_absolute(_last(said, "target")), tuple(options)))


def taken_from(text: str) -> tuple[str, bool]:
    """`CONTAINER[:ro|rw]` of `--volumes-from`: its name, and whether all is read-only."""
    name, _, mode = text.partition(":")
    if not name or mode not in ("", "ro", "rw", "z", "Z"):
        raise UsageError(
            f"invalid container {text[:100]!r} to take volumes from", hint="write it as NAME[:ro]"
        )
    return name, mode == "ro"


def once_each(volumes: Iterable[Volume], tmpfs: Iterable[Tmpfs]) -> None:
    """Raise `UsageError` when two are to be seen in one place."""
    seen: set[str] = set()
    for target in (*(each.target for each in volumes), *(each.target for each in tmpfs)):
        if target in seen:
            raise UsageError(f"duplicate mount point: {target}", hint="leave one of them out")
        seen.add(target)
