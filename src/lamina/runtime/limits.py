"""What a container may use at most, as values, and what docker refuses of them.

Pure. What this machine can hold is found out at the start (lamina.fs.cgroups).
"""

from typing import NamedTuple, Self

from lamina.errors import UsageError

SMALLEST_MEMORY = 6 << 20  # bytes, as docker's
_LARGEST = (1 << 63) - 1  # bytes; the runtimes count with 64 bits and a sign
_MOST_PROCESSES = 4 << 20  # PID_MAX_LIMIT, linux/threads.h
OUT_OF_MEMORY = "out of memory: "  # how the words begin that are said and kept of such an end
PERIOD = 100_000  # microseconds in which a share of processors is counted
UNLIMITED = -1
_ULIMITS = (
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
    *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)


class Ulimit(NamedTuple):
    """A limit of every process of its own (getrlimit(2)); -1 is none."""

    name: str
    soft: int
    hard: int


class Limits(NamedTuple):
    """Bytes, billionths of a processor, counts; 0 or nothing where there is no limit.

    `memory_swap` is memory and swap together, -1 unlimited swap; where it is 0 a limit of memory
    brings twice as much, as in docker. `pids` below 0 is none, too.
    """

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int = -1
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int = 0
    blkio_weight: int = 0
    oom_score_adj: int = 0
    ulimits: tuple[Ulimit, ...] = ()

    @property
    def needs_group(self) -> bool:
        """Whether a control group is needed to hold them."""
        own = {"ulimits": (), "oom_score_adj": 0}
        return self._replace(**own) != Limits()  # type: ignore[arg-type]  # as declared above

    @property
    def swap(self) -> int:
        """Memory and swap together in bytes: what was said, or docker's twice as much."""
        return self.memory_swap or min(2 * self.memory, _LARGEST)

    @property
    def shares(self) -> int:
        """Shares of processors within what the kernel takes; 0 where nothing was said."""
        return min(max(self.cpu_shares, 2), 262_144) if self.cpu_shares else 0

    @property
    def quota(self) -> tuple[int, int]:
        """Microseconds of processor time, and of the period in which they may be used; 0, 0."""
        if self.nano_cpus:
            return self.nano_cpus * PERIOD // 10**9, PERIOD
        return self.cpu_quota, self.cpu_period

    @classmethod
    def from_facts(cls, facts: dict[str, object]) -> Self:
        """Read back what `json.dumps(self._asdict())` wrote."""
        found = cls(**facts)  # type: ignore[arg-type]  # what was written had these types
        return found._replace(ulimits=tuple(Ulimit(*each) for each in found.ulimits))


def ulimit(text: str) -> Ulimit:
    """`NAME=SOFT[:HARD]`; raises `UsageError`."""
    name, _, values = text.partition("=")
    if name not in _ULIMITS:
        raise UsageError(f"unknown limit {name[:40]!r}", hint=f"there are {', '.join(_ULIMITS)}")
    soft, colon, hard = values.partition(":")
    try:
        found = Ulimit(name, _count(soft), _count(hard if colon else soft))
    except ValueError:
        raise UsageError(
            f"invalid limit {text[:60]!r}", hint="write it as NAME=SOFT[:HARD], -1 for none"
        ) from None
    if found.hard != UNLIMITED and not 0 <= found.soft <= found.hard:
        raise UsageError(f"the soft limit of {text[:60]!r} is larger than the hard one")
    return found


def _count(text: str) -> int:
    if text in ("unlimited", str(UNLIMITED)):
        return UNLIMITED
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) > _LARGEST:
        raise ValueError
    return int(text)


def cpus(text: str) -> int:
    """`1.5` processors in billionths; raises `UsageError`."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not digits.isdecimal() or not digits.isascii() or len(fraction) > 9 or len(whole) > 6:
        raise UsageError(f"invalid number of processors {text[:40]!r}", hint="write it as 1.5")
    return int(whole or "0") * 10**9 + int(fraction.ljust(9, "0"))


def check(limits: Limits, processors: int) -> None:
    """Refuse what docker refuses on a machine of so many processors; raises `UsageError`."""
    for complaint in (_about_memory(limits), _about_processors(limits, processors)):
        if complaint:
            raise UsageError(complaint)
    if not -1000 <= limits.oom_score_adj <= 1000:
        raise UsageError(f"the OOM score {limits.oom_score_adj} is not within -1000 and 1000")
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise UsageError(f"the weight {limits.blkio_weight} is not within 10 and 1000")
    if limits.pids > _MOST_PROCESSES:
        raise UsageError(f"there cannot be more than {_MOST_PROCESSES} processes")
    if not -1 <= limits.memory_swappiness <= 100:
        raise UsageError(f"the swappiness {limits.memory_swappiness} is not within 0 and 100")


def _about_memory(limits: Limits) -> str:
    memory, swap, reserved = limits.memory, limits.memory_swap, limits.memory_reservation
    if 0 < memory < SMALLEST_MEMORY:
        return "a memory limit must be 6m at least"
    if 0 < reserved < SMALLEST_MEMORY:
        return "a memory reservation must be 6m at least"
    if swap > 0 and not memory:
        return "a limit of memory and swap needs one of memory, too"
    if 0 < swap < memory:
        return "the limit of memory and swap is smaller than that of memory"
    if memory and reserved > memory:
        return "the memory reservation is larger than the memory limit"
    return ""


def _about_processors(limits: Limits, processors: int) -> str:
    if limits.nano_cpus and (limits.cpu_period or limits.cpu_quota):
        return "processors are limited twice: by their number, and by period and quota"
    if limits.nano_cpus > processors * 10**9:
        return f"{limits.nano_cpus / 10**9:g} processors were asked for, and there are {processors}"
    if 0 < limits.nano_cpus < 10**7:
        return "0.01 processors are the least that can be given"
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        return "a processor period must be within 1000 and 1000000 microseconds"
    if limits.cpu_quota and limits.cpu_quota < 1000:
        return "a processor quota must be 1000 microseconds at least"
    if limits.cpu_shares < 0:
        return "processor shares cannot be negative"
    return next(
        (
            f"invalid list {text[:40]!r}: write it as 0-3,5"
            for text in (limits.cpuset_cpus, limits.cpuset_mems)
            if text and not _is_list(text)
        ),
        "",
    )


def _is_list(text: str) -> bool:
    parts = [part.split("-") for part in text.split(",")]
    if not all(len(part) <= 2 and all(map(_is_number, part)) for part in parts):
        return False
    return all(int(part[0]) <= int(part[-1]) for part in parts)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6


def members(text: str) -> frozenset[int]:
    """The numbers of a list such as `0-3,5`."""
    ranges = [part.split("-") for part in text.split(",")]
    return frozenset(number for ends in ranges for number in range(int(ends[0]), int(ends[-1]) + 1))
