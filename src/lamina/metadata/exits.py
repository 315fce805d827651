"""The exit record: how the last detached run of a container ended, written by its monitor.

One line, with the monitor's own identity first:

    <pid> <start time> <exit status> <seconds since the epoch> oom|- <restarts> <state> <begun>

Room for it is set aside before the container starts (a full disk must not cost the status), and it
is written over that at once. Who has the file open can read it when the container is gone.
"""

import os
import sqlite3
import time
from typing import NamedTuple

from lamina.fs.atomic import unlink_if_there, write_file
from lamina.metadata import containers
from lamina.metadata.containers import ContainerRow

NAME = "exit"
KILLED = 137  # what a shell shows of SIGKILL, and what is shown where nobody could record more
_SIZE = 128  # bytes
_ENDED_BEFORE = ("waiting", "stopped")  # told of by its monitor, unless it was killed before that


class Record(NamedTuple):
    """An end: `exit_code` as a shell shows it, `finished` and `began` in seconds since the epoch.

    `oom` when the kernel killed a process of it for want of memory. One that is started again
    after it has ended is `waiting` for that, or is `running` since `began`; it has `stopped` when
    its end had been told of before it was to be the last.
    """

    pid: int
    start_time: int
    exit_code: int
    finished: float
    oom: bool
    restarts: int = 0
    state: str = "ended"
    began: float = 0.0

    @property
    def ends(self) -> int:
        """How many runs of that start have ended."""
        return self.restarts + (self.state != "running")

    @property
    def is_final(self) -> bool:
        """Whether nothing more of that start comes."""
        return self.state in ("ended", "stopped")

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
    """The record in a container's folder, if its end is written."""
    record = latest(folder)
    return record if record is not None and record.is_final else None


def latest(folder: str) -> Record | None:
    """The same, also of an end that is not the last."""
    try:
        with open(os.path.join(folder, NAME), "rb") as file:
            return parse(file.read(_SIZE))
    except OSError:
        return None


def parse(data: bytes) -> Record | None:
    """What a record says, also of an end that is not the last; None while none is written."""
    line, end, _ = data.partition(b"\n")
    words = line.decode("ascii", "replace").split()
    if not end or len(words) not in (5, 8):
        return None
    try:
        pid, start_time, code = (int(word) for word in words[:3])
        record = Record(pid, start_time, code, float(words[3]), words[4] == "oom")
        if len(words) == 5:
            return record
        return record._replace(restarts=int(words[5]), state=words[6], began=float(words[7]))
    except ValueError:
        return None


def conclude(db: sqlite3.Connection, row: ContainerRow, record: Record | None, words: str) -> None:
    """Write down, and tell, how the run that a row knows of has ended; nothing when it knows none.

    To be called with the row as it stands, by who knows that nobody keeps the container any more.
    `words` say what the exit status does not. One that was waiting to be started again had ended.
    """
    if row.pid is None:
        return
    if record is None or not record.is_of(row) or record.state == "running":
        # it was killed with what kept it
        record = Record(row.pid, row.start_time or 0, KILLED, time.time(), oom=False)
    containers.mark_exited(
        db, row.id, finished=record.finished, exit_code=record.exit_code, error=words
    )
    if record.restarts:  # the first start is told by whoever brought it about
        row = row._replace(started=record.began)
        containers.mark_begun(db, row.id, record.began)
    if not (record.state in _ENDED_BEFORE and _is_told(db, row, record)):
        tell(db, row, record)


def _is_told(db: sqlite3.Connection, row: ContainerRow, record: Record) -> bool:
    from lamina.metadata import events  # who looks at containers tells of none

    return events.is_told(db, row.id, "die", record.finished)


def tell(db: sqlite3.Connection, row: ContainerRow, record: Record) -> None:
    """Tell of an end, and of the beginning where whoever started it was killed before that."""
    from lamina.metadata import events  # who looks at containers tells of none

    began = row.started or row.created
    if not events.is_told(db, row.id, "start", began):
        events.of_container(db, row, "start", at=began)
    if record.oom:
        events.of_container(db, row, "oom", at=record.finished)
    lasted = max(0, int(record.finished - began))
    how = {"exitCode": str(record.exit_code), "execDuration": str(lasted)}
    events.of_container(db, row, "die", how, record.finished)


def drop_layer(db: sqlite3.Connection, layer: str, folder: str) -> None:
    """Drop the container whose read-write layer is `layer`, if there is one; nobody keeps it.

    `folder` is that of all containers' folders.
    """
    row = containers.of_layer(db, layer)
    from lamina.metadata import journal  # hardly ever there is one

    if row is not None:
        own = os.path.join(folder, row.id)
        if row.pid is not None:
            journal.fold(db, row, own)
        conclude(db, row, latest(own), "")
        containers.remove(db, row)
