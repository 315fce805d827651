"""The root of a running container, opened from another process by way of its first process.

That is the container's own view, volumes included. Between the runtime's start and its entering
the root, and after the container's end, the first process has another root, the host's among
them: only what is the mounted root itself is handed out.
"""

import fcntl
import os
import struct
import termios

_PSEUDO_TERMINALS = range(136, 144)  # Documentation/admin-guide/devices.txt, Unix98 slaves
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_root(holder: int, root_path: str) -> int | None:
    """A descriptor of the container's root; None while it is starting or ending.

    `holder` is what `Running.pid` told, `root_path` where the root is mounted for it.
    """
    found = _first(holder, root_path)
    return None if found is None else found[1]


def first_process(holder: int, root_path: str) -> int | None:
    """A descriptor (pidfd_open(2)) of the container's first process; None as for `open_root`."""
    found = _first(holder, root_path)
    if found is None:
        return None
    pid, root = found
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    finally:
        os.close(root)
    again = _first(holder, root_path)  # the ID may have become another's before it was held
    if again is not None:
        os.close(again[1])
        if again[0] == pid:
            return handle
    os.close(handle)
    return None


def first_pid(holder: int, root_path: str) -> int:
    """The ID of the container's first process, to be shown; 0 as for `open_root`."""
    found = _first(holder, root_path)
    if found is None:
        return 0
    os.close(found[1])
    return found[0]


def _first(holder: int, root_path: str) -> tuple[int, int] | None:
    """Its ID, and a descriptor of its root."""
    try:
        mounted = os.stat(f"/proc/{holder}/root{root_path}")
    except OSError:
        return None
    for pid in _candidates(holder):
        try:
            opened = os.open(f"/proc/{pid}/root", _DIRECTORY)
        except OSError:
            continue
        if os.path.samestat(os.fstat(opened), mounted):
            return pid, opened
        os.close(opened)
    return None


def _candidates(holder: int) -> list[int]:
    """Processes that may be the container's first: a chroot's, or those of a runtime."""
    space = _process_namespace(holder)
    beside = [each for each in children(parent(holder)) if _process_namespace(each) == space]
    return [each for near in (holder, *beside) for each in children(near)]


def _process_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def parent(pid: int) -> int:
    """The process that started one, or took it over; 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def resize_terminal(runtime: int, size: os.terminal_size) -> bool:
    """Give the terminal of a runtime's container another size, by a standard stream of it.

    The kernel tells its foreground processes (SIGWINCH). False when there is no terminal (yet).
    """
    packed = struct.pack("HHHH", size.lines, size.columns, 0, 0)
    for pid in children(runtime):
        for number in range(3):
            path = f"/proc/{pid}/fd/{number}"
            try:
                if os.major(os.stat(path).st_rdev) not in _PSEUDO_TERMINALS:
                    continue
                terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue  # it is gone, or closed
            try:
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
            finally:
                os.close(terminal)
            return True
    return False


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started and not waited for."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(each) for each in file.read().split()]
    except OSError:
        pass  # it, or the thread, is gone
    return found
