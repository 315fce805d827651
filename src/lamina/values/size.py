"""Sizes as people write and read them: decimal as docker prints, binary as docker parses."""

import re

from lamina.errors import InvalidSize

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_INPUT = re.compile(
    r"(\d{1,20})(?:\.(\d{1,20}))?\s*(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE
)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LARGEST = (1 << 63) - 1  # bytes: off_t


def human(size: float, digits: int = 3) -> str:
    """Bytes in decimal units with that many significant digits: `1.98MB`, `377MB`, `0B`."""
    return _scaled(size, 1000, _DECIMAL, digits)


def human_binary(size: float, digits: int = 4) -> str:
    """Bytes in binary units: `1.316MiB`."""
    return _scaled(size, 1024, _BINARY, digits)


def _scaled(size: float, base: int, units: tuple[str, ...], digits: int) -> str:
    value, unit = float(size), 0
    # What is rounded up to the base is shown in the next unit: 1MB, never 1e+03kB.
    while unit < len(units) - 1 and float(f"{value:.{digits}g}") >= base:
        value /= base
        unit += 1
    return f"{value:.{digits}g}{units[unit]}" if value < 1000 else f"{value:.0f}{units[unit]}"


def parse(text: str) -> int:
    """Bytes of `10m`, `1.5GB`, `512`; a unit is 1,024-fold, as in docker's `--storage-opt`.

    Raises `InvalidSize`, also for more bytes than a file can have.
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise InvalidSize(f"invalid size {text[:60]!r}", hint="write it as 512, 10m or 1.5g")
    whole, fraction, unit = found.groups()
    scale = 1024 ** _POWERS[unit.lower()] if unit else 1
    size = int(whole) * scale
    if fraction:
        size += int(fraction) * scale // 10 ** len(fraction)
    if size > _LARGEST:
        raise InvalidSize(f"size {text[:60]!r} is larger than any file can be")
    return size
