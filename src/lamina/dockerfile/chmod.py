"""--chmod: an octal mode, or changes to the mode that there is (`u=rwX,go=rX`). Pure.

As chmod(1) with no umask: where nobody is named, all are meant.
"""

import re
from typing import NamedTuple, TypeAlias

from lamina.errors import DockerfileError

_OCTAL = re.compile(r"[0-7]{1,5}", re.ASCII)
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)", re.ASCII)
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)", re.ASCII)
_LARGEST = 0o7777
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0o1000}
_SET_ID = 0o6000


class Symbolic(NamedTuple):
    """Changes to a mode, as written; each is (who, operator, permissions)."""

    text: str
    changes: tuple[tuple[str, str, str], ...]

    def applied(self, mode: int, *, is_directory: bool) -> int:
        """The permission bits that come of `mode`."""
        for who, operator, permissions in self.changes:
            mode = _changed(mode, who, operator, permissions, is_directory)
        return mode


Chmod: TypeAlias = int | Symbolic


def parse(text: str) -> Chmod:
    """Read --chmod; raises `DockerfileError`."""
    if _OCTAL.fullmatch(text):
        if int(text, 8) > _LARGEST:
            raise DockerfileError(f"--chmod={text} is larger than 7777")
        return int(text, 8)
    changes: list[tuple[str, str, str]] = []
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise DockerfileError(
                f"invalid --chmod={text}", hint="write it in octal, as 755, or as u=rwX,go=rX"
            )
        who = "ugo" if not found[1] or "a" in found[1] else found[1]
        changes += [(who, each[1], each[2]) for each in _ACTION.finditer(found[2])]
    return Symbolic(text, tuple(changes))


def applied(wish: Chmod | None, mode: int, *, is_directory: bool) -> int:
    """The mode of something that has `mode`, as --chmod wishes it."""
    if wish is None:
        return mode
    return wish if isinstance(wish, int) else wish.applied(mode, is_directory=is_directory)


def _changed(mode: int, who: str, operator: str, permissions: str, is_directory: bool) -> int:
    named = sum(7 << _SHIFTS[each] | _SPECIAL[each] for each in set(who))
    bits = _bits(mode, who, permissions, is_directory)
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    if is_directory:  # it keeps the set-ID bits that are not named (chmod(1))
        named &= ~_SET_ID | bits
    return (mode & ~named) | bits


def _bits(mode: int, who: str, permissions: str, is_directory: bool) -> int:
    if permissions and permissions in "ugo":
        copied = mode >> _SHIFTS[permissions] & 7
        return sum(copied << _SHIFTS[each] for each in set(who))
    found = 0
    for each in permissions:
        if each == "s":
            found |= sum(_SPECIAL[one] for one in set(who) - {"o"})
        elif each == "t":
            found |= _SPECIAL["o"] if "o" in who else 0
        elif each != "X":
            found |= sum(_BITS[each] << _SHIFTS[one] for one in set(who))
        elif is_directory or mode & 0o111:
            found |= sum(1 << _SHIFTS[one] for one in set(who))
    return found
