"""Health checks: what an image and its user ask for, and what a monitor has found out.

The wish has docker's shape (durations in nanoseconds, 0 where nothing is said). The findings are a
small text that the monitor (lamina.execution.monitor.health) writes anew after each check:

    starting|healthy|unhealthy <failures in a row>
    <start> <end> <exit status> <output in hexadecimal>      # the last five; times in seconds
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lamina.errors import UsageError
from lamina.fs.atomic import unlink_if_there
from lamina.spec.strictjson import Json

_LEAST = 1_000_000  # ns; docker's own limit
_MOST = 1 << 62
_NONE = "NONE"
_KINDS = (_NONE, "CMD", "CMD-SHELL")
_SECOND = 1_000_000_000
_LIMIT = 1 << 17  # bytes of the findings: five outputs of 4 KiB and more
FILE = "health"


class Health(NamedTuple):
    """What is wished: `test` as docker's (`CMD ARG...`, `CMD-SHELL TEXT`, `NONE`; nothing: unsaid).

    Durations in nanoseconds, `retries` a number; 0 is the usual one.
    """

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    @classmethod
    def from_facts(cls, facts: Sequence[object]) -> "Health":
        """Read back what `json.dumps` made of one."""
        if not facts:
            return cls()
        found = cls(*facts)  # type: ignore[arg-type]  # what was written had these types
        return found._replace(test=tuple(found.test))

    @property
    def is_on(self) -> bool:
        """Whether something is checked."""
        return bool(self.test) and self.test[0] != _NONE

    def command(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """What is executed, by that shell where it is a shell's text."""
        kind, *words = self.test
        return tuple(words) if kind == "CMD" else (*(shell or ("/bin/sh", "-c")), *words)

    @property
    def in_seconds(self) -> tuple[float, float, float, float, int]:
        """Interval, timeout, start period and its interval; and retries."""
        spans = (self.interval, self.timeout, self.start_period, self.start_interval)
        interval, timeout, period, start_interval = (each / _SECOND for each in spans)
        return interval, timeout, period, start_interval, self.retries

    def filled(self) -> "Health":
        """With docker's usual values where nothing is said."""
        return self._replace(
            interval=self.interval or 30 * _SECOND,
            timeout=self.timeout or 30 * _SECOND,
            start_interval=self.start_interval or 5 * _SECOND,
            retries=self.retries or 3,
        )


def forget(folder: str) -> None:
    """Take away what was found of an earlier run."""
    unlink_if_there(os.path.join(folder, FILE))


_FIELDS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}


def of_document(document: Mapping[str, object] | None) -> Health:
    """The wish in docker's `Healthcheck` object; raises `UsageError` for what is none."""
    found = document or {}
    test = found.get("Test") or ()
    if not isinstance(test, list | tuple) or not all(isinstance(each, str) for each in test):
        raise UsageError("the test of a health check is no list of words")
    words = tuple(str(each) for each in test)
    if words and (words[0] not in _KINDS or (words[0] != _NONE and len(words) < 2)):
        raise UsageError(
            f"a health check begins with {' or '.join(_KINDS)} and a command, not {words[0][:40]!r}"
        )
    numbers = {field: _number(found.get(name), name) for field, name in _FIELDS.items()}
    return checked(Health(words, **numbers))


def _number(value: object, name: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise UsageError(f"the {name} of a health check is no number")
    return value


def checked(health: Health) -> Health:
    """The same; raises `UsageError` for what docker refuses."""
    for field in ("interval", "timeout", "start_period", "start_interval"):
        if 0 < getattr(health, field) < _LEAST:
            raise UsageError(f"the {field.replace('_', ' ')} of a health check is less than 1 ms")
    return health


def laid(base: Health, over: Health) -> Health:
    """What a user says over what an image says, field by field, as docker does."""
    said = {field: value for field, value in over._asdict().items() if value}
    return base._replace(**said)


def document_of(health: Health) -> dict[str, Json]:
    """As docker's config has it; what is not said is not there."""
    numbers = {name: getattr(health, field) for field, name in _FIELDS.items()}
    return {"Test": list(health.test), **{key: value for key, value in numbers.items() if value}}


class Probe(NamedTuple):
    """One check: when (seconds since the epoch), how it ended, what it wrote."""

    start: float
    end: float
    exit_code: int
    output: str


class Findings(NamedTuple):
    """`starting`, `healthy` or `unhealthy`, failures in a row, and the last five checks."""

    status: str
    failing_streak: int
    log: tuple[Probe, ...]


def findings(folder: str) -> Findings | None:
    """What is known of a container by its folder; None where nothing is checked."""
    try:
        with open(os.path.join(folder, FILE), encoding="ascii", errors="replace") as file:
            head, *lines = file.read(_LIMIT).splitlines()
        status, streak = head.split()
        return Findings(status, int(streak), tuple(map(_probe, lines)))
    except (OSError, ValueError):
        return None


def _probe(line: str) -> Probe:
    start, end, code, *said = line.split(" ")
    output = bytes.fromhex("".join(said)).decode("utf-8", "replace")
    return Probe(float(start), float(end), int(code), output)
