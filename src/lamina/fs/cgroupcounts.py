"""What the control groups of a process count: processor time, memory, disks, tasks (cgroups(7)).

Only of groups that are a container's own; a controller whose group it shares with others tells
nothing of it. Reads files, and bounds what it reads.
"""

import os
from typing import NamedTuple

from lamina.fs.cgroups import hierarchies
from lamina.fs.said import text_of

_LIMIT = 1 << 20  # bytes of one file
_MICROSECOND = 1000


class Counts(NamedTuple):
    """Nanoseconds, bytes, numbers; None for what no group of its own counts.

    `memory` holds the caches of files too, of which `idle` bytes are not in use.
    """

    cpu: int | None = None
    memory: int | None = None
    idle: int = 0
    tasks: int | None = None
    read: int | None = None
    written: int | None = None


def counts(pid: int, name: str) -> Counts:
    """What the groups count that a process is in and that are called `name`, or lie in such."""
    places = _own(pid, name)
    unified = places.get("", "")
    if unified and len(places) == 1:
        return of_version_2(unified)
    read, written = _transferred(
        _text(places.get("blkio"), "blkio.throttle.io_service_bytes_recursive")
    )
    memory = places.get("memory")
    return Counts(
        _number(places.get("cpuacct"), "cpuacct.usage"),
        _number(memory, "memory.usage_in_bytes"),
        _field(_text(memory, "memory.stat"), "total_inactive_file"),
        _number(places.get("pids"), "pids.current"),
        read,
        written,
    )


def of_version_2(folder: str) -> Counts:
    """What one group of version 2 counts."""
    microseconds = _field(_text(folder, "cpu.stat"), "usage_usec")
    read, written = _summed(_text(folder, "io.stat"))
    return Counts(
        microseconds * _MICROSECOND,
        _number(folder, "memory.current"),
        _field(_text(folder, "memory.stat"), "inactive_file"),
        _number(folder, "pids.current"),
        read,
        written,
    )


def _own(pid: int, name: str) -> dict[str, str]:
    """The folders of a process's groups as far as `name`, by controller; "" for version 2."""
    found = hierarchies()
    places: dict[str, str] = {}
    for line in _text(f"/proc/{pid}", "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        head, own, _ = path.partition(name)
        if not own or ".." in path:
            continue
        for controller in controllers.split(","):
            place = found.of.get(controller) if controller else found.unified
            if place:
                places[controller] = os.path.join(place, (head + own).lstrip("/"))
    return places


def _text(folder: str | None, name: str) -> str:
    return "" if folder is None else text_of(os.path.join(folder, name), _LIMIT)


def _number(folder: str | None, name: str) -> int | None:
    text = _text(folder, name).strip()
    return int(text) if text.isdecimal() else None


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0


def _transferred(text: str) -> tuple[int | None, int | None]:
    """Version 1: `MAJOR:MINOR Read|Write|... BYTES`."""
    if not text:
        return None, None
    sums = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in sums and words[2].isdecimal():
            sums[words[1]] += int(words[2])
    return sums["Read"], sums["Write"]


def _summed(text: str) -> tuple[int, int]:
    """Version 2: `MAJOR:MINOR rbytes=BYTES wbytes=BYTES ...`."""
    pairs = [word.partition("=") for word in text.split()]
    read, written = (
        sum(int(value) for key, _, value in pairs if key == wanted and value.isdecimal())
        for wanted in ("rbytes", "wbytes")
    )
    return read, written
