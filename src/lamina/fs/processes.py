"""Processes that are not our children: told by ID and start time, ended and waited for by pidfd.

A process ID alone is no identity (they come round); with the start time of proc(5), field 22, it
is, until the next boot.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def oom_score() -> int:
    """The calling process's own: below 0 the kernel spares it when memory is out (proc(5))."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


@contextmanager
def handle(pid: int, began: int | None) -> Iterator[int | None]:
    """A descriptor of the process (pidfd_open(2)); None when it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if start_time(pid) == began else None
    finally:
        os.close(descriptor)


def end(pid: int, began: int | None, patience: float = 10.0) -> None:
    """Kill the process, if it is still that one, and wait (seconds) until it is gone."""
    with handle(pid, began) as descriptor:
        if descriptor is not None and send(descriptor, signal.SIGKILL):
            ended(descriptor, patience)


def send(descriptor: int, number: int) -> bool:
    """Send a signal; False when the process has ended."""
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    return True


def ended(descriptor: int, patience: float | None) -> bool:
    """Wait until the process has ended, for so many seconds at most (None: for ever)."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(None if patience is None else patience * 1000))
