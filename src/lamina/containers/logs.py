"""What a detached container wrote, read back from its log (docker's json-file, rotated).

Knows no container: files alone, and somebody who can wait until there may be more of them.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

_BLOCK = 1 << 16
_LONGEST = 1 << 20  # bytes of one object; the monitor's are far shorter


class LogLine(NamedTuple):
    """One line (or a piece of a long one): the stream it came on, its bytes, and when.

    `time` is UTC in RFC 3339 with nine digits, so that texts compare as times do.
    """

    stream: str
    data: bytes
    time: str


class Selection(NamedTuple):
    """Which lines are wanted: the last `tail`, from `since` on, before `until` (as `time`)."""

    tail: int | None = None
    since: str = ""
    until: str = ""


EVERYTHING = Selection()


def instant(seconds: float | None) -> str:
    """A time in seconds since the epoch, as lines carry it; empty for none.

    To the microsecond: today's seconds in a float have no more.
    """
    if seconds is None:
        return ""
    whole, rest = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest:06d}000Z"


def read(
    path: str, wanted: Selection = EVERYTHING, more: Callable[[], bool] | None = None
) -> Iterator[LogLine]:
    """The lines of the log at `path`, oldest first.

    At the end `more` is asked, which waits until there may be more and tells whether to look
    again. Raises OSError.
    """
    for raw in _raw(path, wanted.tail, more):
        line = _parse(raw)
        if line is None or line.time < wanted.since:
            continue
        if wanted.until and line.time >= wanted.until:
            return
        yield line


def _parse(raw: bytes) -> LogLine | None:
    """None for what a power cut left of a line."""
    try:
        facts = json.loads(raw)
        return LogLine(str(facts["stream"]), str(facts["log"]).encode(), str(facts["time"]))
    except (ValueError, TypeError, KeyError):
        return None


def _raw(path: str, tail: int | None, more: Callable[[], bool] | None) -> Iterator[bytes]:
    names, at = _files(path), 0
    if tail is not None:
        names, at = _last(names, tail)
    place = _Place(path, names, at)
    try:
        while True:
            yield from place.lines()
            if more is None or not more():
                yield from place.lines()  # what was written before it ended
                return
    finally:
        place.close()


def _files(path: str) -> list[str]:
    """The files of a log, oldest first."""
    folder, name = os.path.split(path)
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return []
    ends = [each.removeprefix(name) for each in found if each.startswith(name)]
    numbers = sorted((int(end[1:]) for end in ends if end[1:].isdecimal()), reverse=True)
    return [*(f"{path}.{number}" for number in numbers), *([path] if "" in ends else [])]


def _last(names: list[str], count: int) -> tuple[list[str], int]:
    """The files that hold the last `count` lines, and where in the first of them these begin."""
    if not names:
        return [], 0
    for number in range(len(names) - 1, -1, -1):
        at, found = _back(names[number], count)
        if found == count or not number:
            return names[number:], at
        count -= found
    return names, 0


def _back(name: str, count: int) -> tuple[int, int]:
    """Where the last `count` lines of a file begin, and how many of them it has."""
    with open(name, "rb") as file:
        at = end = file.seek(0, os.SEEK_END)
        found = 0
        while at:
            start = max(0, at - _BLOCK)
            file.seek(start)
            block = file.read(at - start)
            for offset in range(len(block) - 1, -1, -1):
                if block[offset] == 0x0A and start + offset + 1 < end:
                    found += 1
                    if found == count:
                        return start + offset + 1, count
            at = start
    if not count:
        return end, 0
    return 0, min(count, found + (1 if end else 0))


class _Place:
    """Where in the files one has read to; they may be rotated meanwhile."""

    def __init__(self, path: str, names: list[str], at: int) -> None:
        self._path = path
        self._rest = b""
        self._fd = -1
        if names:
            self._open(names[0])
            os.lseek(self._fd, at, os.SEEK_SET)

    def lines(self) -> Iterator[bytes]:
        """Every whole line that is there now."""
        while True:
            yield from self._of_file()
            if not self._go_on():
                return

    def _of_file(self) -> Iterator[bytes]:
        while self._fd >= 0 and (data := os.read(self._fd, _BLOCK)):
            *whole, self._rest = (self._rest + data).split(b"\n")
            yield from whole
            if len(self._rest) > _LONGEST:
                self._rest = b""

    def _go_on(self) -> bool:
        """Open the next file, where there is one."""
        names = _files(self._path)
        if not names:
            return False
        following = self._after(names)
        if following is None:
            return False
        if not self._grew():
            self._open(following)
        return True

    def _grew(self) -> bool:
        """Whether something was written to the file between its end and its being put away."""
        if self._fd < 0:
            return False
        return os.lseek(self._fd, 0, os.SEEK_CUR) < os.fstat(self._fd).st_size

    def _after(self, names: list[str]) -> str | None:
        """The file that follows ours; the oldest, where ours is gone."""
        if self._fd < 0:
            return names[0]
        ours = os.fstat(self._fd)
        for number, name in enumerate(names):
            try:
                if os.path.samestat(os.stat(name), ours):
                    return names[number + 1] if number + 1 < len(names) else None
            except FileNotFoundError:
                continue
        return names[0]

    def _open(self, name: str) -> None:
        self.close()
        self._rest = b""
        self._fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
