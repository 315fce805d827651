"""HEALTHCHECK's options as the config keeps them: durations in nanoseconds. Pure."""

import re

from lamina.dockerfile import Healthcheck
from lamina.errors import DockerfileError
from lamina.spec.strictjson import Json

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_LEAST = 1_000_000  # ns; docker's own limit, 0 meaning "inherit"
_FIELDS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def config_of(check: Healthcheck) -> dict[str, Json]:
    """The `Healthcheck` object of an image's config; raises `DockerfileError`."""
    if check.kind == "NONE":
        return {"Test": ["NONE"]}
    kind = "CMD" if check.is_exec else "CMD-SHELL"
    found: dict[str, Json] = {"Test": [kind, *check.args]}
    for name, text in check.options:
        if name == "retries":
            found["Retries"] = _retries(text)
        elif nanoseconds := duration(text):
            if nanoseconds < _LEAST:
                raise DockerfileError(f"--{name}={text} is less than the 1 ms that is possible")
            found[_FIELDS[name]] = nanoseconds
    return found


def duration(text: str) -> int:
    """A duration in Go's syntax (`1m30s`, `0`) in nanoseconds; raises `DockerfileError`."""
    if text == "0":
        return 0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DockerfileError(f"invalid duration {text!r}", hint="durations look like 30s or 1m30s")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _retries(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise DockerfileError(f"--retries={text} is not a number")
    return int(text)
