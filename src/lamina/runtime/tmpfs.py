"""The options of a tmpfs, as mount(8) and docker spell them, merged and refused.

docker's own come first (nosuid, nodev, noexec); what is said of the same thing replaces them.
"""

import posixpath
import re
from collections.abc import Iterable

from lamina.errors import UsageError
from lamina.kernel import mount as kernel
from lamina.runtime.process import Tmpfs

_DEFAULT = ("nosuid", "nodev", "noexec")
# what replaces what: two of one group never stand side by side
_GROUPS = (
    ("rw", "ro"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("sync", "async"),
    ("atime", "noatime", "relatime", "norelatime", "strictatime"),
    ("diratime", "nodiratime"),
)
_GROUP_OF = {name: group[0] for group in _GROUPS for name in group}
_NUMBERS = ("size", "uid", "gid", "nr_inodes", "nr_blocks")
_VALUES = (*_NUMBERS, "mode", "mpol", "huge")
_NUMBER = re.compile(r"[0-9]{1,18}[kmgtpe%]?", re.IGNORECASE)
_ATTRIBUTES = {
    "ro": kernel.MOUNT_ATTR_RDONLY,
    "nosuid": kernel.MOUNT_ATTR_NOSUID,
    "nodev": kernel.MOUNT_ATTR_NODEV,
    "noexec": kernel.MOUNT_ATTR_NOEXEC,
    "noatime": kernel.MOUNT_ATTR_NOATIME,
    "strictatime": kernel.MOUNT_ATTR_STRICTATIME,
    "nodiratime": kernel.MOUNT_ATTR_NODIRATIME,
}


def spelled(text: str) -> Tmpfs:
    """`PATH[:OPTION[,OPTION...]]`; raises `UsageError`."""
    target, _, options = text.partition(":")
    if not target.startswith("/"):
        raise UsageError(f"invalid tmpfs {text[:100]!r}", hint="write it as /PATH[:OPTIONS]")
    place = "/" + posixpath.normpath(target).strip("/")
    return checked(Tmpfs(place, tuple(each for each in options.split(",") if each)))


def checked(tmpfs: Tmpfs) -> Tmpfs:
    """The same; raises `UsageError` for an option that tmpfs has not."""
    for option in tmpfs.options:
        key, equals, value = option.partition("=")
        known = value and key in _VALUES if equals else key in _GROUP_OF
        fits = _is_mode(value) if key == "mode" else key not in _NUMBERS or _NUMBER.fullmatch(value)
        if not known or not fits:
            raise UsageError(
                f"invalid option {option[:60]!r} of the tmpfs {tmpfs.target}",
                hint="there are size=, mode=, uid=, gid=, ro, exec and others of tmpfs(5)",
            )
    return tmpfs


def _is_mode(text: str) -> bool:
    return len(text) <= 5 and frozenset("01234567").issuperset(text)


def merged(options: Iterable[str], mode: int) -> tuple[str, ...]:
    """All options of a tmpfs: docker's, over them the given ones; `mode` where none is said."""
    chosen: dict[str, str] = {}
    for option in (*_DEFAULT, f"mode={mode:o}", *options):
        key = option.partition("=")[0]
        chosen[_GROUP_OF.get(key, key)] = option
    return tuple(chosen.values())


def split(options: Iterable[str]) -> tuple[int, tuple[tuple[str, str], ...]]:
    """The mount's attributes (MOUNT_ATTR_*), and pairs for the file system itself."""
    attributes, pairs = 0, []
    for option in options:
        key, equals, value = option.partition("=")
        attributes |= _ATTRIBUTES.get(key, 0)
        if equals:
            pairs.append((key, value))
    return attributes, tuple(pairs)
