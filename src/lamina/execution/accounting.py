"""What a running container has used up to now: by its control groups, else by its processes.

A container without limits has no group of its own (see docs/adr/0016): what its processes tell is
summed up, so that the time of those which nobody waited for in it is missing.
"""

import os
import time
from collections.abc import Iterable
from typing import NamedTuple

from lamina.execution.family import Family
from lamina.fs.cgroupcounts import Counts, counts
from lamina.fs.said import text_of

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds


class Usage(NamedTuple):
    """At `time` (seconds since the epoch); nanoseconds of processor time, bytes, numbers.

    `system` is the processor time of the whole machine, idling included, `tasks` counts threads.
    `memory` are those bytes that it would not give back at once; `idle` more are cached.
    """

    time: float
    cpu: int
    system: int
    memory: int
    idle: int
    tasks: int
    read: int
    written: int
    received: int
    sent: int


def usage(holder: int, first: int, name: str) -> Usage:
    """Of the container of that ID, which `holder` keeps and whose first process is `first`."""
    grouped = counts(first, name)
    summed = _summed(holder) if None in grouped else _Process(0, 0, 0, 0, 0)
    received, sent = _network(first)
    return Usage(
        time.time(),
        _or(grouped.cpu, summed.cpu),
        _system(),
        _memory(grouped, summed.memory),
        grouped.idle,
        _or(grouped.tasks, summed.tasks),
        _or(grouped.read, summed.read),
        _or(grouped.written, summed.written),
        received,
        sent,
    )


def _or(first: int | None, second: int) -> int:
    return second if first is None else first


def _memory(grouped: Counts, summed: int) -> int:
    return summed if grouped.memory is None else max(0, grouped.memory - grouped.idle)


class _Process(NamedTuple):
    cpu: int
    memory: int
    tasks: int
    read: int
    written: int


def _summed(holder: int) -> _Process:
    found = [_process(pid) for pid in Family(holder).members()]
    return (
        _Process(*(sum(column) for column in zip(*found, strict=True)))
        if found
        else _Process(0, 0, 0, 0, 0)
    )


def _process(pid: int) -> _Process:
    """Of one process, with the time of those that it has waited for; nothing when it is gone."""
    fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 18:
        return _Process(0, 0, 0, 0, 0)
    transferred = _rows(text_of(f"/proc/{pid}/io"))
    return _Process(
        sum(int(each) for each in fields[11:15]) * _TICK,
        _rows(text_of(f"/proc/{pid}/smaps_rollup")).get("Pss", 0) * 1024,
        int(fields[17]),
        transferred.get("read_bytes", 0),
        transferred.get("write_bytes", 0),
    )


def _rows(text: str) -> dict[str, int]:
    """`name: number ...` by name."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            found[name] = int(words[0])
    return found


def _system() -> int:
    """Processor time of this machine since its start: user to steal, of proc(5)'s `cpu` line."""
    first = text_of("/proc/stat").partition("\n")[0].split()
    return sum(int(each) for each in first[1:9]) * _TICK


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by a network of its own; none of the host's."""
    try:
        if os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net")):
            return 0, 0
    except OSError:
        return 0, 0
    return _devices(text_of(f"/proc/{pid}/net/dev").splitlines()[2:])


def _devices(lines: Iterable[str]) -> tuple[int, int]:
    received = sent = 0
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo" and len(words) > 8:
            received += int(words[0])
            sent += int(words[8])
    return received, sent
