"""What runs in a container, as ps(1) tells it; its program is this machine's, never the image's."""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.containers.store import StoredContainer
from lamina.errors import NotRunning, RuntimeFailure, UsageError
from lamina.execution.family import Family
from lamina.fs.spawn import run
from lamina.runtime.isolation import needed_program

_PID = "PID"


class Processes(NamedTuple):
    """A table: the titles of its columns, and a row per process."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def processes(stored: StoredContainer, options: Sequence[str]) -> Processes:
    """The container's processes; `options` are those of ps(1), and have to ask for the PID.

    Raises `NotRunning`, `UsageError` or `ProgramMissing`.
    """
    if not stored.is_up or stored.row.pid is None:
        raise NotRunning(f"the container {stored.row.name} is not running", hint="start it first")
    said = run([needed_program("ps"), *options])
    if said.status:
        raise RuntimeFailure(f"ps {' '.join(options)}: {said.errors.splitlines()[0]}")
    lines = said.output.splitlines()
    titles = tuple(lines[0].split())
    if _PID not in titles:
        raise UsageError("the options of ps have to ask for the PID", hint="as -o pid,args does")
    place = titles.index(_PID)
    inside = {str(pid) for pid in Family(stored.row.pid).members()}
    rows = [tuple(line.split(None, len(titles) - 1)) for line in lines[1:]]
    return Processes(titles, tuple(row for row in rows if row[place : place + 1][0] in inside))
