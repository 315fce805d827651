"""The bars: what Lamina promises against whom, as data, and how a bar is judged.

Pure: medians in, verdicts out.
"""

from collections.abc import Mapping
from typing import NamedTuple

Medians = Mapping[str, Mapping[str, float]]  # scenario -> contender -> seconds or bytes

TIMES_FASTER = "times faster than"
TIMES_THE_TIME = "times the time of"
MILLISECONDS = "ms more than"
SECONDS = "seconds for"
MEGABYTES = "MB for"
BYTES_PER_ENTRY = "bytes an entry for"
WASTE = "waste of 500,000 files"


class Bar(NamedTuple):
    """`limit` in the words of `kind`; at least for TIMES_FASTER, at most for the others."""

    scenario: str
    kind: str
    limit: float
    against: str


class Verdict(NamedTuple):
    """A bar with what was measured."""

    bar: Bar
    value: float
    met: bool

    def sentence(self) -> str:
        """One line for people."""
        bound = "at least" if self.bar.kind == TIMES_FASTER else "at most"
        met = "met   " if self.met else "MISSED"
        asked = f"{bound} {self.bar.limit:g} {self.bar.kind} {self.bar.against}"
        return f"{met}  {self.bar.scenario:<16} {self.value:8.2f}   ({asked})"


TEN_LAYERS = ("copy", "pull overlay2", "push", "save", "load", "pull erofs")
"""What is done with an image of ten layers of 1 GiB."""

BARS = (
    Bar("import", TIMES_FASTER, 3, "docker"),
    Bar("import", TIMES_FASTER, 4, "podman"),
    Bar("apply", TIMES_THE_TIME, 1.5, "tar"),
    Bar("run-none", TIMES_FASTER, 2.5, "docker"),
    Bar("run-none", TIMES_FASTER, 1, "podman"),
    Bar("run-host", TIMES_FASTER, 1.5, "docker"),
    Bar("run-host", TIMES_FASTER, 1, "podman"),
    Bar("cached-10k", TIMES_FASTER, 8, "docker"),
    Bar("cached-tiny", MILLISECONDS, 60, "docker"),
    Bar("cached-20", TIMES_FASTER, 1, "docker"),
    Bar("cold-10k-run", TIMES_FASTER, 4, "docker"),
    Bar("cold-10k-run", TIMES_FASTER, 4, "docker buildkit"),
    Bar("cold-10k-run", TIMES_FASTER, 4, "podman"),
    Bar("two-sleeps", SECONDS, 6, "lamina"),
    Bar("changed-100k", SECONDS, 2, "lamina"),
    Bar("pull", TIMES_FASTER, 2.5, "docker"),
    Bar("pull-erofs", TIMES_FASTER, 4, "docker"),
    Bar("push-again", TIMES_FASTER, 3, "docker"),
    Bar("copy", TIMES_FASTER, 1, "skopeo"),
    Bar("images-1000", MILLISECONDS, 60, "python"),
    Bar("version", MILLISECONDS, 40, "python"),
    Bar("erofs-tgz", TIMES_FASTER, 4, "docker"),
    Bar("erofs-tar", TIMES_FASTER, 4, "tar"),
    Bar("overlay2-tgz", TIMES_THE_TIME, 1.8, "tar"),
    Bar("erofs-remove", MILLISECONDS, 50, "start-up"),
    Bar("erofs-read", TIMES_FASTER, 3, "ext4"),
    Bar("overlay2-commit", TIMES_THE_TIME, 1.5, "a small image"),
    Bar("btrfs-commit", TIMES_THE_TIME, 1.5, "a small image"),
    Bar("erofs-commit", TIMES_THE_TIME, 1.5, "a small image"),
    Bar("waste-50k", SECONDS, 1, "lamina"),
    Bar("waste-500k", SECONDS, 8, "lamina"),
    Bar("memory", MEGABYTES, 500, WASTE),
    Bar("memory", MEGABYTES, 100, "2 GiB"),
    Bar("memory", BYTES_PER_ENTRY, 300, "100,000 entries"),
    *(Bar("memory-ten", MEGABYTES, 150, act) for act in TEN_LAYERS),
)


def judged(medians: Medians, entries: int) -> list[Verdict]:
    """A verdict for each bar whose scenario was measured."""
    measured = [bar for bar in BARS if _is_measured(bar, medians.get(bar.scenario, {}))]
    return [_judge(bar, medians[bar.scenario], entries) for bar in measured]


def _is_measured(bar: Bar, of: Mapping[str, float]) -> bool:
    is_of_memory = bar.kind in (MEGABYTES, BYTES_PER_ENTRY)
    return bar.against in of and ("lamina" in of or is_of_memory)


def _judge(bar: Bar, of: Mapping[str, float], entries: int) -> Verdict:
    theirs = of[bar.against]
    if bar.kind == TIMES_FASTER:
        value = theirs / of["lamina"]
        return Verdict(bar, value, value >= bar.limit)
    if bar.kind == TIMES_THE_TIME:
        value = of["lamina"] / theirs
    elif bar.kind == SECONDS:
        value = theirs
    elif bar.kind == MILLISECONDS:
        value = (of["lamina"] - theirs) * 1e3
    elif bar.kind == MEGABYTES:
        value = theirs / 1e6
    else:
        value = (theirs - of["small"]) / entries
    return Verdict(bar, value, value <= bar.limit)
