"""Whether a container's process still runs, told by boot, process ID and start time.

A process ID alone is no identity (they come round); with the start time of proc(5), field 22,
and the boot's ID it is.
"""

from typing import Literal

from lamina.metadata.containers import ContainerRow

Status = Literal["created", "running", "exited"]


def status(row: ContainerRow, boot_id: str) -> Status:
    """What the container is doing now."""
    if row.pid is not None and row.boot_id == boot_id and start_time(row.pid) == row.start_time:
        return "running"
    if row.started is None:
        return "created"
    return "exited"


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
