"""The exit record: how the last detached run of a container ended, written by its monitor.

One line, `<pid> <start time> <exit status> <seconds since the epoch> oom|-`, with the monitor's own
identity first. Room for it is set aside before the container starts (a full disk must not cost
the status), and it is written over that at once. Who has the file open can read it when the
container is gone.
"""

import os
from typing import NamedTuple

from lamina.fs.atomic import unlink_if_there, write_file
from lamina.metadata.containers import ContainerRow

NAME = "exit"
_SIZE = 128  # bytes


class Record(NamedTuple):
    """An end: `exit_code` as a shell shows it, `finished` in seconds since the epoch.

    `oom` when the kernel killed a process of it for want of memory.
    """

    pid: int
    start_time: int
    exit_code: int
    finished: float
    oom: bool

    def is_of(self, row: ContainerRow) -> bool:
        """Whether it tells of the run that the row knows of."""
        return (self.pid, self.start_time) == (row.pid, row.start_time)


def set_aside(folder: str) -> str:
    """Make an empty record in a container's folder; gives its path. Raises OSError."""
    path = os.path.join(folder, NAME)
    write_file(path, b" " * (_SIZE - 1) + b"\n", mode=0o600)
    return path


def forget(folder: str) -> None:
    """Take the record away: the next run is told by its row alone."""
    unlink_if_there(os.path.join(folder, NAME))


def read(folder: str) -> Record | None:
    """The record in a container's folder, if it is written."""
    try:
        with open(os.path.join(folder, NAME), "rb") as file:
            return parse(file.read(_SIZE))
    except OSError:
        return None


def parse(data: bytes) -> Record | None:
    """What a record says; None while nothing whole is written."""
    line, end, _ = data.partition(b"\n")
    words = line.split()
    if not end or len(words) != 5:
        return None
    try:
        pid, start_time, code = (int(word) for word in words[:3])
        return Record(pid, start_time, code, float(words[3]), words[4] == b"oom")
    except ValueError:
        return None
