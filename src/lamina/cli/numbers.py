"""Numbers as a user types them."""

from lamina.errors import UsageError

_MOST = 10_000


def layer_number(text: str | None) -> int | None:
    """A layer's number, counted from 1; raises `UsageError`."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 6 or int(text) < 1:
        raise UsageError(f"invalid --from {text!r}: layers are counted from 1")
    return int(text)


def seconds(text: str | None, flag: str) -> float | None:
    """A number of seconds; negative means without an end. Raises `UsageError`."""
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise UsageError(f"{flag} {text!r} is no number of seconds")
    return float(text)


def count(text: str | None, flag: str) -> int:
    """How many, at least one; raises `UsageError`."""
    if text is None:
        return 1
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= _MOST:
        raise UsageError(f"{flag} {text!r} is no number from 1 to {_MOST}")
    return int(text)
