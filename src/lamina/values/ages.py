"""Lengths of time in one rounded-down unit, as docker words them; the clock is the caller's."""

_MINUTE, _HOUR, _DAY, _WEEK, _MONTH, _YEAR = 60, 3600, 86400, 604800, 2592000, 31536000


def age(seconds: float) -> str:
    """A length of time in one rounded-down unit: `3 seconds`, `About an hour`, `2 weeks`."""
    whole = int(max(seconds, 0))
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = round(whole / _HOUR)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    for unit, length, limit in (
        ("days", _DAY, 14),
        ("weeks", _WEEK, 60 / 7),
        ("months", _MONTH, 24),
    ):
        if whole / length < limit:
            return f"{whole // length} {unit}"
    return f"{whole // _YEAR} years"
