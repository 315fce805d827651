"""What applying a layer and comparing two trees tell, as values.

Apart from what does the work, because a command that only asks a driver something needs none.
"""

from typing import Literal, NamedTuple


class Figures(NamedTuple):
    """What a layer brought: `size` in bytes of its regular files, its members, its whiteouts."""

    size: int
    entries: int
    whiteouts: int


class Placement(NamedTuple):
    """Where a regular file landed: its physical path below the root, and its inode."""

    path: bytes
    inode: int


Kind = Literal["A", "C", "D"]


class Change(NamedTuple):
    """One path that was added, changed or deleted, as docker's `diff` shows it."""

    kind: Kind
    path: bytes
