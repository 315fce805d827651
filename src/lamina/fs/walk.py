"""Walking a tree in order, by descriptor, without following a link and without recursion."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from lamina.fs.descent import Descent

_GONE = (FileNotFoundError, NotADirectoryError)


class Found(NamedTuple):
    """One entry: its path from the root, and where it lies (borrowed until the next one)."""

    path: bytes
    directory: int
    name: bytes
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether the walk goes on inside it."""
        return stat.S_ISDIR(self.status.st_mode)


def walk(root: int, *, may_change: bool = False) -> Iterator[Found]:
    """Every entry below the directory `root`, each before what it holds, bytewise by name.

    A handful of descriptors is open at once, however deep the tree is. Where it `may_change`
    meanwhile, what goes before it is reached is passed over. Raises OSError.
    """
    passed = _GONE if may_change else ()
    descent = Descent(root)
    pending = [(b"", sorted(names_now(root), reverse=True))]
    try:
        while pending:
            prefix, names = pending[-1]
            if not names:
                pending.pop()
                if pending:
                    descent.leave()
                continue
            name = names.pop()
            here = descent.here
            try:
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
            except passed:
                continue
            found = Found(prefix + name, here, name, status)
            yield found
            if stat.S_ISDIR(status.st_mode):
                try:
                    below = descent.enter(name)
                except passed:
                    continue
                pending.append((found.path + b"/", []))
                with suppress(*passed):
                    pending[-1][1].extend(_names(below))
    finally:
        descent.close()


def names_now(directory: int) -> list[bytes]:
    """What is in a directory now, however long it has been open.

    On btrfs (Linux 6.5) a descriptor lists no name that is younger than itself.
    """
    fresh = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return [os.fsencode(name) for name in os.listdir(fresh)]
    finally:
        os.close(fresh)


def _names(directory: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(directory)), reverse=True)
