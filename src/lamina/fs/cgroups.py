"""A container's control group (cgroups(7)): which limits this machine can hold, and OOM kills.

    <hierarchy>/lamina/<container>/box

or below another group than `lamina`, where that was asked for. `box` is made and removed by the OCI
runtime, which writes the limits there; what is above it is ours, and is what tells afterwards
whether the kernel killed for want of memory: by a counter in version 2, where a parent counts what
happens below. In version 1 only the group that is over its limit tells: ours is limited to a page
less than `box`, so it is the one.

Version 1 with a small version 2 beside it ("hybrid") counts as version 1.
"""

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.kernel import mountinfo

BASE = "lamina"
BOX = "box"
SWAP = ("memory.memsw.limit_in_bytes", "memory.swap.max")  # of version 1, of version 2
_PATIENCE = 10.0  # seconds for the kernel to end what was killed
_POLL = 0.01
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CONTROLLERS = frozenset(
    (
        *("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer"),
        *("hugetlb", "memory", "net_cls", "net_prio", "perf_event", "pids"),
    )
)


class Need(NamedTuple):
    """One limit: as whose flag it was asked for, and what must be there to hold it.

    `files` are the names in version 1 and 2 of which one suffices.
    """

    flag: str
    controller: str
    files: tuple[str, ...]


class Hierarchies(NamedTuple):
    """Where control groups are mounted: by controller in version 1, or the one of version 2."""

    of: dict[str, str]
    unified: str

    @property
    def places(self) -> tuple[str, ...]:
        """Every hierarchy once."""
        return tuple(dict.fromkeys((*self.of.values(), *filter(None, (self.unified,)))))


def hierarchies() -> Hierarchies:
    """What is mounted, as the calling thread sees it."""
    found: dict[str, str] = {}
    unified = ""
    for entry in mountinfo.mounts():
        target = os.fsdecode(entry.target)
        if entry.kind == "cgroup":
            named = {each.removeprefix("name=") for each in entry.super_options.decode().split(",")}
            for controller in named & {*_CONTROLLERS, "systemd"}:
                found.setdefault(controller, target)
        elif entry.kind == "cgroup2":
            unified = unified or target
    return Hierarchies(found, unified)


class Group:
    """The control group of one container; to be removed when nothing of it is left."""

    def __init__(
        self,
        container: str,
        needs: tuple[Need, ...],
        shares: tuple[tuple[str, str, str], ...],
        memory: int,
        swap: int,
        base: str = BASE,
    ) -> None:
        """Make it below `base`, with room for `needs`; `memory`, `swap` in bytes (0: no limit).

        `shares` are controllers, names of files and what is written into those that there are:
        what is divided between groups is divided between this one and its like, not between
        `box` and nothing.

        Raises `RuntimeFailure` for what this machine cannot hold.
        """
        self._container = container
        self._base = base
        self._found = hierarchies()
        self._alarm = -1
        self._memory = ""
        try:
            for need in needs:
                self._provide(need)
            for controller, name, text in shares:
                self._share(controller, name, text)
            if memory:
                self._watch(memory, swap)
        except BaseException:
            self.remove()
            raise

    @property
    def path(self) -> str:
        """What the runtime is told (cgroupsPath)."""
        return f"/{self._base}/{self._container}/{BOX}"

    @property
    def counts_swap(self) -> bool:
        """Whether it can hold memory and swap together, or swap alone, to a limit."""
        folder = self._below(self._hierarchy("memory"))
        return any(os.path.exists(os.path.join(folder, name)) for name in SWAP)

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of it for want of memory."""
        if self._alarm >= 0:
            try:
                return os.eventfd_read(self._alarm) > 0
            except BlockingIOError:
                return False
        return bool(self._memory) and killed_for_memory(self._container, self._base)

    def remove(self) -> None:
        """Remove it, as far as nobody is in it."""
        self.leave()
        remove(self._container, base=self._base)

    def leave(self) -> None:
        """Let go of it, and leave it there."""
        alarm, self._alarm = self._alarm, -1
        if alarm >= 0:
            os.close(alarm)

    def _provide(self, need: Need) -> None:
        own = self._hierarchy(need.controller)
        if need.controller == "devices" and own == self._found.unified:
            return  # version 2 guards them by a program that the runtime brings
        if not own:
            raise _missing(need, f"there is no control group controller {need.controller} here")
        folder = self._below(own)
        try:
            os.makedirs(folder, exist_ok=True)
            if own == self._found.unified:
                self._hand_on(need.controller)
        except OSError as error:
            raise _missing(need, f"{os.path.dirname(folder)}: {error.strerror}") from error
        if not any(os.path.exists(os.path.join(folder, name)) for name in need.files):
            why = f"the control group controller {need.controller} has no {need.files[0]} here"
            raise _missing(need, why)

    def _hierarchy(self, controller: str) -> str:
        return self._found.of.get(controller, self._found.unified if self.is_unified else "")

    def _below(self, hierarchy: str) -> str:
        return os.path.join(hierarchy, self._base, self._container)

    def _share(self, controller: str, name: str, text: str) -> None:
        path = os.path.join(self._below(self._hierarchy(controller)), name)
        if os.path.exists(path):
            write(path, text)

    @property
    def is_unified(self) -> bool:
        """Whether it is one of version 2."""
        return bool(self._found.unified) and not _CONTROLLERS.intersection(self._found.of)

    def _hand_on(self, controller: str) -> None:
        """Version 2: a controller works below a group that hands it on."""
        name = "io" if controller == "blkio" else controller
        folder = self._found.unified
        write(os.path.join(folder, "cgroup.subtree_control"), f"+{name}")
        for part in self._base.split("/"):
            folder = os.path.join(folder, part)
            write(os.path.join(folder, "cgroup.subtree_control"), f"+{name}")

    def _watch(self, memory: int, swap: int) -> None:
        if self.is_unified:
            self._memory = self._found.unified
            return
        self._memory = self._found.of["memory"]
        folder = self._below(self._memory)
        write(os.path.join(folder, "memory.limit_in_bytes"), str(memory - _PAGE))
        both = os.path.join(folder, SWAP[0])
        if swap > 0 and os.path.exists(both):
            write(both, str(swap - _PAGE))
        self._alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        watched = os.open(os.path.join(folder, "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            write(os.path.join(folder, "cgroup.event_control"), f"{self._alarm} {watched}")
        finally:
            os.close(watched)


def folder_of(container: str, controller: str) -> str:
    """Where a container's group is, or would be, for that controller; "" where there is none."""
    found = hierarchies()
    place = found.of.get(controller, found.unified if is_unified() else "")
    return os.path.join(place, BASE, container) if place else ""


def is_unified() -> bool:
    """Whether groups are those of version 2."""
    found = hierarchies()
    return bool(found.unified) and not _CONTROLLERS.intersection(found.of)


def killed_for_memory(container: str, base: str = BASE) -> bool:
    """Whether a counter tells of it: in version 1 only before the runtime has cleared up."""
    return any(_counted(path) for path in counters(container, base))


def counters(container: str, base: str = BASE) -> tuple[str, ...]:
    """The files whose `oom_kill` counts processes of it that were killed for want of memory."""
    found = hierarchies()
    places = (
        (found.of.get("memory", ""), BOX, "memory.oom_control"),
        (found.unified, "", "memory.events"),
    )
    return tuple(
        os.path.join(place, base, container, below, name) for place, below, name in places if place
    )


def _counted(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            rows = dict(line.split() for line in file)
    except OSError:
        return False
    return int(rows.get("oom_kill", "0")) > 0


def remove(container: str, patience: float = _PATIENCE, *, base: str = BASE) -> bool:
    """Remove a container's group in every hierarchy; whether nothing is left (see `clear`)."""
    places = hierarchies().places
    return clear([os.path.join(place, base, container) for place in places], patience)


def clear(groups: Sequence[str], patience: float) -> bool:
    """Remove groups, with all that was made in them; whether nothing is left to be removed.

    Whom the kernel is still ending is waited for, so many seconds at most: a killed engine's locks
    are free before the last process has left its group.
    """
    limit = time.monotonic() + patience
    while groups := [each for each in groups if os.path.isdir(each) and _is_held(each)]:
        if time.monotonic() > limit:
            return False
        time.sleep(_POLL)
    return True


def _is_held(group: str) -> bool:
    """Remove it as far as nobody is in it; whether somebody is."""
    for path in reversed(_with_all_below(group)):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                return True
    return False


def _with_all_below(group: str) -> list[str]:
    """Parents first: a privileged container makes groups of its own."""
    found = [group]
    for path in found:  # which grows meanwhile
        with suppress(OSError), os.scandir(path) as entries:
            found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def write(path: str, text: str) -> None:
    """Say something to the kernel; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _missing(need: Need, why: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"the limit {need.flag} cannot be held on this machine: {why}",
        hint="leave it out, or run where control groups can be made",
    )
