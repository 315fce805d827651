"""Which processes belong to a running container.

Those of the process namespace that its holder is in and of the namespaces below (ioctl_ns(2));
where it has none of its own, those that the holder started and theirs. The holder itself is not
one: it is what the container's end hangs on. Nor is a runtime, which works beside the holder: it
hands signals on, so that one that is told to go on would tell its container a second time.
"""

import fcntl
import os
import signal
from contextlib import suppress

from lamina.execution.inside import children, parent

_NS_GET_PARENT = 0xB702  # include/uapi/linux/nsfs.h


class Family:
    """Of the container that `holder` (`Running.pid`) holds; looked for anew each time."""

    def __init__(self, holder: int) -> None:
        self._holder = holder
        self._space = _namespace(holder)
        self._is_apart = self._space not in (None, _namespace(os.getpid()))
        self._known: dict[int, bool] = {}  # namespaces, by inode

    def members(self) -> list[int]:
        """The process IDs of all that are alive now."""
        if not self._is_apart:
            return _descendants(self._holder)
        everybody = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return [pid for pid in everybody if self.holds(pid)]

    def holds(self, pid: int) -> bool:
        """Whether a process is one of them now."""
        if pid == self._holder:
            return False
        return self._is_inside(pid) if self._is_apart else self._holder in _line_of(pid)

    def _is_inside(self, pid: int) -> bool:
        space = _namespace(pid)
        if space is None:
            return False
        if space == self._space:
            return _root(pid) not in (None, _root(self._holder))
        if space not in self._known:
            self._known[space] = self._space in _ancestry(pid)
        return self._known[space]


def kill_descendants(pid: int) -> None:
    """Kill all that a process has started, and theirs; stopped first, so that none escapes.

    What was let go (its parent has ended) is not among them.
    """
    held: dict[int, int] = {}
    seen: set[int] = set()
    try:
        while new := [each for each in _descendants(pid) if each not in seen]:
            seen.update(new)
            for each in new:
                with suppress(ProcessLookupError):
                    held[each] = os.pidfd_open(each)
            for each in new:
                if each in held and (parent(each) in held or parent(each) == pid):
                    _send(held[each], signal.SIGSTOP)
        for handle in held.values():
            _send(handle, signal.SIGKILL)
    finally:
        for handle in held.values():
            os.close(handle)


def _send(handle: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        new = children(waiting.pop())
        found += new
        waiting += new
    return found


def _line_of(pid: int) -> set[int]:
    """A process's parent, that one's, and so on."""
    found: set[int] = set()
    while (pid := parent(pid)) and pid not in found:
        found.add(pid)
    return found


def _namespace(pid: int) -> int | None:
    """What tells a process's namespace from others; None when it is gone or another user's."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def _root(pid: int) -> tuple[int, int] | None:
    """The folder that a process has for its root; None when it is gone or another user's."""
    try:
        found = os.stat(f"/proc/{pid}/root")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ancestry(pid: int) -> list[int]:
    """A process's namespace and those around it, as far as ours."""
    found: list[int] = []
    try:
        space = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return found
    while True:
        found.append(os.fstat(space).st_ino)
        try:
            outer = fcntl.ioctl(space, _NS_GET_PARENT)
        except OSError:  # EPERM: around ours
            return found
        finally:
            os.close(space)
        space = outer
