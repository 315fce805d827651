"""The processes of a monitor's namespace: their ends, and its own name (it is the first)."""

import os
import signal


def was_counted(path: str) -> bool:
    """Whether a control group's counter tells of a process killed for want of memory."""
    try:
        with open(path, "rb") as file:
            rows = dict(line.split() for line in file)
    except (OSError, ValueError):
        return False
    return rows.get(b"oom_kill", b"0") != b"0"


def bury(wakened: int) -> dict[int, int]:
    """Reap all that has ended; gives their process IDs with their statuses."""
    try:
        os.read(wakened, 4096)
    except BlockingIOError:
        pass
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found[pid] = status


def kill_all() -> None:
    """Kill whatever is left in our namespace, and bury it."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def identity() -> tuple[int, int]:
    """Our process ID and start time as the host sees them."""
    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    return int(stat.split(b" ", 1)[0]), int(stat.rpartition(b")")[2].split()[19])


def point(name: str) -> None:
    """Where a test may end us without a word, as lamina.fs.faults; SIGKILL spares its own pid 1."""
    if os.environ.get("LAMINA_TEST_CRASH") == name:
        os._exit(137)
