"""Everything about a tree on disk that a tar carries, so that two trees can be compared."""

import hashlib
import os
import stat
from typing import NamedTuple


class Facts(NamedTuple):
    """One entry: `content` is a digest, a link's target or a device; `same` the first name of
    a file that has several.
    """

    mode: str
    uid: int
    gid: int
    mtime_ns: int
    content: str | bytes | int | None
    same: bytes | None
    xattrs: dict[str, bytes]


def facts(root: str) -> dict[bytes, Facts]:
    """Every entry below `root`, and the root itself as `.`, by path."""
    found = {}
    links: dict[int, bytes] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        folders.sort()
        here = [b"."] if folder == top else []
        for name in (*here, *sorted([*folders, *files])):
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, top)
            found[shown] = _facts(path, shown, links)
    return found


def _facts(path: bytes, shown: bytes, links: dict[int, bytes]) -> Facts:
    status = os.lstat(path)
    several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
    names = os.listxattr(path, follow_symlinks=False)
    return Facts(
        oct(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        _content(path, status),
        links.setdefault(status.st_ino, shown) if several else None,
        {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)},
    )


def _content(path: bytes, status: os.stat_result) -> str | bytes | int | None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if kind == stat.S_IFLNK:
        return os.readlink(path)
    return status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else None
