"""Who `USER` means, by the image's own passwd and group files.

They are read inside the root, as regular files of bounded size: a link leads nowhere else. A FIFO
in their place is refused, for it would hang the runtime and many a command. Numbers are bounded,
so that 2^32 is not root. Semantics are docker's (moby/sys/user, GetExecUser): digits are always
a number, an explicit group brings only itself.
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.errors import RuntimeFailure, hint_of
from lamina.fs.tree import TreeView
from lamina.kernel.namespaces import can_set_groups

_FILE_LIMIT = 4 << 20  # bytes; a passwd file of 50,000 users is smaller
_LINE_LIMIT = 64 << 10
_PASSWD, _GROUP = b"etc/passwd", b"etc/group"
_ID_LIMIT = (1 << 31) - 1  # moby/sys/user, maxID


class Credentials(NamedTuple):
    """Whom a process runs as; `groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(tree: TreeView, text: str, more_groups: tuple[str, ...] = ()) -> Credentials:
    """Credentials for `name`, `uid`, `name:group` or `uid:gid`; nothing means root.

    `more_groups` are names or numbers of groups that it is in besides.

    An unknown number is taken as it is, with group 0; an unknown name raises `RuntimeFailure`
    that names some that there are, as does a passwd or group that is no file.
    """
    for path in (_PASSWD, _GROUP):
        _refuse_irregular(tree, path)
    wanted, _, group = text.partition(":")
    user = _find_user(_users(tree), wanted or "0")
    gid, groups = _groups(tree, user, group)
    known = _all_groups(tree) if more_groups else []
    added = {_group_id(known, each) for each in more_groups}
    return Credentials(user.uid, gid, tuple(sorted({*groups, *added})), user.home)


def acting_as(tree: TreeView, text: str, more_groups: tuple[str, ...]) -> Credentials:
    """As `resolve_user`, for a process: its primary group is among the supplementary ones, too.

    Else a set-group-ID program takes it out of its group, and past a file that is closed to this
    group and open to all others (CVE-2022-36109). A user namespace may forbid that it has any.
    """
    found = resolve_user(tree, text, more_groups)
    if not can_set_groups():
        return found
    others = (gid for gid in found.groups if gid != found.gid)
    return found._replace(groups=(found.gid, *others))


def resolve_ids(tree: TreeView, text: str) -> tuple[int, int]:
    """The owner that `--chown` means: a known user's own group, else the same number."""
    wanted, _, group = text.partition(":")
    user = _find_user(_users(tree), wanted or "0")
    if group:
        return user.uid, _group_id(_all_groups(tree), group)
    return user.uid, user.gid if user.name else user.uid


def _find_user(users: list[_User], wanted: str) -> _User:
    if _is_number(wanted):
        number = _number(wanted)
        known = next((user for user in users if user.uid == number), None)
        return known or _User("", number, 0, "/")
    found = next((user for user in users if user.name == wanted), None)
    if found is None:
        names = ", ".join(user.name for user in users[:8])
        raise RuntimeFailure(
            f"unable to find user {wanted[:100]}: no matching entries in passwd file",
            hint=f"the image knows {names}" if names else "the image has no users",
        )
    return found


def _groups(tree: TreeView, user: _User, group: str) -> tuple[int, tuple[int, ...]]:
    if group:
        return _group_id(_all_groups(tree), group), ()
    if not user.name:
        return user.gid, ()
    more = {each.gid for each in _all_groups(tree) if user.name in each.members}
    return user.gid, tuple(sorted(more - {user.gid}))


def _group_id(groups: list[_Group], wanted: str) -> int:
    if _is_number(wanted):
        return _number(wanted)
    found = next((each for each in groups if each.name == wanted), None)
    if found is None:
        names = ", ".join(each.name for each in groups[:8])
        raise RuntimeFailure(
            f"unable to find group {wanted[:100]}: no matching entries in group file",
            hint=f"the image knows {names}" if names else "the image has no groups",
        )
    return found.gid


def _refuse_irregular(tree: TreeView, path: bytes) -> None:
    try:
        status = tree.lstat(tree.resolve(path, follow_last=True))
    except OSError as error:
        words = f"the image's /{os.fsdecode(path)}: {error.strerror}"
        raise RuntimeFailure(words, hint=hint_of(error)) from error
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise RuntimeFailure(
            f"the image's /{os.fsdecode(path)} is no regular file", hint="repair the image"
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    if len(text) > 12 or int(text) > _ID_LIMIT:
        raise RuntimeFailure(
            f"the ID {text[:20]} is out of range", hint=f"IDs go from 0 to {_ID_LIMIT}"
        )
    return int(text)


def _valid_id(text: str) -> bool:
    return _is_number(text) and len(text) <= 12 and int(text) <= _ID_LIMIT


def _users(tree: TreeView) -> list[_User]:
    return [
        _User(fields[0], int(fields[2]), int(fields[3]), fields[5] or "/")
        for fields in _lines(tree, _PASSWD, 6)
        if _valid_id(fields[2]) and _valid_id(fields[3])
    ]


def _all_groups(tree: TreeView) -> list[_Group]:
    return [
        _Group(fields[0], int(fields[2]), tuple(fields[3].split(",")) if fields[3:] else ())
        for fields in _lines(tree, _GROUP, 3)
        if _valid_id(fields[2])
    ]


def _lines(tree: TreeView, path: bytes, least: int) -> list[list[str]]:
    """The colon-separated fields of each line that has a name and at least `least` fields."""
    lines = [line for line in _read(tree, path).split(b"\n") if len(line) <= _LINE_LIMIT]
    split = [line.decode("utf-8", "replace").split(":") for line in lines]
    return [fields for fields in split if len(fields) >= least and fields[0]]


def _read(tree: TreeView, path: bytes) -> bytes:
    """The whole file, nothing when there is no such regular file."""
    try:
        where = tree.resolve(path, follow_last=True)
        status = tree.lstat(where)
        if status is None or not stat.S_ISREG(status.st_mode):
            return b""
        if status.st_size > _FILE_LIMIT:
            raise RuntimeFailure(
                f"the image's /{os.fsdecode(path)} is larger than {_FILE_LIMIT} bytes",
                hint="give the user as numbers (uid:gid)",
            )
        descriptor = tree.open(where)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return b""
        raise
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_FILE_LIMIT)
    finally:
        os.close(descriptor)
