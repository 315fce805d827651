"""Whether a container's process still runs, told by boot, process ID and start time.

An exit record is believed before all of these; another boot means exited.
"""

from typing import Literal

from lamina.fs.processes import start_time
from lamina.metadata.containers import ContainerRow

Status = Literal["created", "running", "paused", "restarting", "exited"]


def status(row: ContainerRow, boot_id: str) -> Status:
    """What the container is doing now, of a row that knows what the exit record says."""
    if row.pid is not None and row.boot_id == boot_id and start_time(row.pid) == row.start_time:
        return "running"
    if row.started is None:
        return "created"
    return "exited"
