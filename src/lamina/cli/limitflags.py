"""The flags that say what a container may use at most, as docker spells them."""

from lamina.cli.flags import Flag, Parsed
from lamina.engine.wishes import Limited
from lamina.errors import UsageError

FLAGS = (
    Flag("blkio-weight", "", "NUMBER", "its share of disks, 10 to 1000"),
    Flag("cpu-period", "", "MICROSECONDS", "the time in which --cpu-quota may be used"),
    Flag("cpu-quota", "", "MICROSECONDS", "processor time in each --cpu-period"),
    Flag("cpu-shares", "c", "NUMBER", "its share of busy processors (1024)"),
    Flag("cpus", "", "NUMBER", "how many processors it may use, as 1.5"),
    Flag("cpuset-cpus", "", "LIST", "which processors, as 0-3,5"),
    Flag("cpuset-mems", "", "LIST", "which memory nodes"),
    Flag("memory", "m", "BYTES", "how much memory it may use, as 512m"),
    Flag("memory-reservation", "", "BYTES", "what it is left with when memory is short"),
    Flag("memory-swap", "", "BYTES", "memory and swap together; -1 for unlimited swap"),
    Flag("memory-swappiness", "", "NUMBER", "how soon its memory is swapped, 0 to 100"),
    Flag("oom-score-adj", "", "NUMBER", "how soon it is killed when memory is out, -1000 to 1000"),
    Flag("pids-limit", "", "NUMBER", "how many processes it may have"),
    Flag("ulimit", "", "NAME=SOFT[:HARD]", "a limit of each process, as nofile=1024", True),
)


def limited(given: Parsed) -> Limited:
    """What the flags ask for; raises `UsageError`."""
    swappiness = _number(given, "memory-swappiness", -1)
    return Limited(
        blkio_weight=_number(given, "blkio-weight"),
        cpu_period=_number(given, "cpu-period"),
        cpu_quota=_number(given, "cpu-quota"),
        cpu_shares=_number(given, "cpu-shares"),
        cpus=given.one("cpus"),
        cpuset_cpus=given.one("cpuset-cpus") or "",
        cpuset_mems=given.one("cpuset-mems") or "",
        mem_limit=given.one("memory"),
        mem_reservation=given.one("memory-reservation"),
        memswap_limit=given.one("memory-swap"),
        mem_swappiness=swappiness,
        oom_score_adj=_number(given, "oom-score-adj"),
        pids_limit=_number(given, "pids-limit"),
        ulimits=given.all("ulimit"),
    )


def _number(given: Parsed, name: str, default: int = 0) -> int:
    text = given.one(name)
    if text is None:
        return default
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
        raise UsageError(f"--{name} {text[:40]!r} is no whole number")
    return int(text)
