"""Signals by the names that docker's users write: `SIGTERM`, `term`, `15`, `RTMIN+3`."""

import signal

from lamina.errors import UsageError


def number_of(text: int | str) -> int:
    """The number of a signal; raises `UsageError`."""
    name = str(text).upper().removeprefix("SIG")
    number = int(name) if name.isdecimal() else _named(name)
    if number is None or number not in signal.valid_signals():
        raise UsageError(
            f"there is no signal {text!r}", hint="name one as SIGTERM or TERM, or by its number"
        )
    return number


def _named(name: str) -> int | None:
    base, sign, offset = name.partition("+" if "+" in name else "-")
    if base in ("RTMIN", "RTMAX") and (not sign or offset.isdecimal()):
        return int(signal.Signals[f"SIG{base}"]) + int(f"{sign}{offset or 0}")
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        return None
