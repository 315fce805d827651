"""The calling thread's mount table, as the kernel tells it (proc_pid_mountinfo(5)).

For showing and checking. Whether a layer is in use is never read here: a mount may be detached
or in another namespace; a lock says it.
"""

import re
from typing import NamedTuple

_TABLE = "/proc/thread-self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountEntry(NamedTuple):
    """One mount; paths are bytes as they are, options as the kernel prints them."""

    mount_id: int
    parent_id: int
    device: str
    root: bytes
    target: bytes
    options: bytes
    kind: str
    source: bytes
    super_options: bytes


def mounts(table: str = _TABLE) -> list[MountEntry]:
    """Every mount that the calling thread sees, in the order of mounting; raises OSError.

    A line may be long: an overlay of 500 lower directories fills 15,000 bytes and more.
    """
    with open(table, "rb") as file:
        return [parse(line) for line in file]


def parse(line: bytes) -> MountEntry:
    """One line of a mountinfo table; raises ValueError for what is none."""
    before, separator, after = line.rstrip(b"\n").partition(b" - ")
    if not separator:
        raise ValueError("a line of mountinfo has no separator")
    mount_id, parent_id, device, root, target, options, *_optional = before.split(b" ")
    kind, source, super_options = after.split(b" ", 2)
    return MountEntry(
        int(mount_id),
        int(parent_id),
        device.decode(),
        _plain(root),
        _plain(target),
        options,
        kind.decode(),
        _plain(source),
        super_options,
    )


def _plain(field: bytes) -> bytes:
    r"""Undo the kernel's octal escapes (`\040` for a space)."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), field)
