"""Walking a tree in order, by descriptor, without following a link and without recursion."""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """One entry: its path from the root, and where it lies (a borrowed descriptor)."""

    path: bytes
    directory: int
    name: bytes
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether the walk goes on inside it."""
        return stat.S_ISDIR(self.status.st_mode)


def walk(root: int) -> Iterator[Found]:
    """Every entry below the directory `root`, each before what it holds, bytewise by name.

    At most one descriptor per level is open; a tree may be thousands of levels deep.
    """
    pending = [(b"", root, _names(root))]
    try:
        while pending:
            path, directory, names = pending[-1]
            if not names:
                pending.pop()
                if directory != root:
                    os.close(directory)
                continue
            name = names.pop()
            below = path + b"/" + name if path else name
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            found = Found(below, directory, name, status)
            yield found
            if found.is_directory:
                child = os.open(name, _DIRECTORY, dir_fd=directory)
                pending.append((below, child, _names(child)))
    finally:
        for _, directory, _ in pending:
            if directory != root:
                os.close(directory)


def _names(directory: int) -> list[bytes]:
    return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)
