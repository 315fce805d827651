"""Times as docker's users type them: a date, seconds since the epoch, or how long ago."""

import re

from lamina.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_AGO = re.compile(f"(?:{_PART.pattern})+")
_EPOCH = re.compile(r"\d+(\.\d+)?")


def moment(text: str | None, now: float) -> float | None:
    """Seconds since the epoch; raises `UsageError`."""
    if text is None:
        return None
    if _EPOCH.fullmatch(text):
        return float(text)
    if _AGO.fullmatch(text):
        return now - sum(float(part[1]) * _UNITS[part[2]] for part in _PART.finditer(text))
    return _date(text)


def _date(text: str) -> float:
    from datetime import datetime  # few need it

    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", hint="write 2026-01-31T12:00:00Z, or how long ago: 90s, 1h30m"
        ) from None
