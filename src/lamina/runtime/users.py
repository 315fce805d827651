"""Who `USER` means, by the image's own passwd and group files.

They are read inside the root, as regular files of bounded size: a link leads nowhere else, a
FIFO hangs nobody. Numbers are bounded, so that 2^32 is not root.
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.fs.tree import TreeView

_FILE_LIMIT = 4 << 20  # bytes
_LINE_LIMIT = 64 << 10
_ID_LIMIT = (1 << 31) - 1


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


def resolve_user(tree: TreeView, text: str) -> Credentials:
    """Credentials for `name`, `uid`, `name:group` or `uid:gid`; nothing means root.

    An unknown number is taken as it is, with group 0; an unknown name raises `RuntimeFailure`
    that names some that there are.
    """
    wanted, _, group = text.partition(":")
    users = _users(tree)
    user = _find_user(users, wanted or "0")
    gid, groups = _groups(tree, user, group)
    return Credentials(user.uid, gid, groups, user.home)


def resolve_ids(tree: TreeView, text: str) -> tuple[int, int]:
    """The owner that `--chown` means: a name's own group, else the same number."""
    wanted, colon, group = text.partition(":")
    users = _users(tree)
    user = _find_user(users, wanted or "0")
    if colon and group:
        return user.uid, _group_id(_all_groups(tree), group)
    known = any(each.uid == user.uid and each.name == user.name for each in users)
    return user.uid, user.gid if known and user.name else user.uid


def _find_user(users: list[_User], wanted: str) -> _User:
    """By name first; digits alone are a number, also where a user is called so."""
    if wanted.isdigit():
        number = _number(wanted)
        known = next((user for user in users if user.uid == number), None)
        return known or _User("", number, 0, "/")
    found = next((user for user in users if user.name == wanted), None)
    if found is None:
        names = ", ".join(user.name for user in users[:8])
        raise RuntimeFailure(
            f"unable to find user {wanted}: no matching entries in passwd file",
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
    if wanted.isdigit():
        return _number(wanted)
    found = next((each for each in groups if each.name == wanted), None)
    if found is None:
        raise RuntimeFailure(f"unable to find group {wanted}: no matching entries in group file")
    return found.gid


def _number(text: str) -> int:
    if len(text) > 12 or int(text) > _ID_LIMIT:
        raise RuntimeFailure(f"the ID {text[:20]} is out of range")
    return int(text)


def _users(tree: TreeView) -> list[_User]:
    found = []
    for fields in _lines(tree, b"etc/passwd", 6):
        if fields[2].isdigit() and fields[3].isdigit() and len(fields[2] + fields[3]) < 24:
            uid, gid = int(fields[2]), int(fields[3])
            if uid <= _ID_LIMIT and gid <= _ID_LIMIT:
                found.append(_User(fields[0], uid, gid, fields[5] or "/"))
    return found


def _all_groups(tree: TreeView) -> list[_Group]:
    found = []
    for fields in _lines(tree, b"etc/group", 3):
        if fields[2].isdigit() and len(fields[2]) < 12 and int(fields[2]) <= _ID_LIMIT:
            members = tuple(fields[3].split(",")) if len(fields) > 3 and fields[3] else ()
            found.append(_Group(fields[0], int(fields[2]), members))
    return found


def _lines(tree: TreeView, path: bytes, least: int) -> list[list[str]]:
    data = _read(tree, path)
    lines = [line for line in data.split(b"\n") if len(line) <= _LINE_LIMIT]
    split = [line.decode("utf-8", "replace").split(":") for line in lines]
    return [fields for fields in split if len(fields) > least - 1 and fields[0]]


def _read(tree: TreeView, path: bytes) -> bytes:
    try:
        where = tree.resolve(path, follow_last=True)
        status = tree.lstat(where)
        if status is None or not stat.S_ISREG(status.st_mode):
            return b""
        descriptor = tree.open(where)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return b""
        raise
    try:
        if status.st_size > _FILE_LIMIT:
            raise RuntimeFailure(f"/{path.decode()} of the image is over {_FILE_LIMIT} bytes")
        return os.read(descriptor, _FILE_LIMIT)
    finally:
        os.close(descriptor)
