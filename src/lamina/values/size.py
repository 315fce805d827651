"""Sizes as people write and read them: decimal as docker prints, binary as docker parses."""

import re

from lamina.errors import InvalidSize

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_INPUT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def human(size: float, digits: int = 3) -> str:
    """Bytes in decimal units with that many significant digits: `1.98MB`, `377MB`, `0B`."""
    return _scaled(size, 1000, _DECIMAL, digits)


def human_binary(size: float, digits: int = 4) -> str:
    """Bytes in binary units: `1.316MiB`."""
    return _scaled(size, 1024, _BINARY, digits)


def _scaled(size: float, base: int, units: tuple[str, ...], digits: int) -> str:
    value, unit = float(size), 0
    while value >= base and unit < len(units) - 1:
        value /= base
        unit += 1
    return f"{value:.{digits}g}{units[unit]}" if value < 1000 else f"{value:.0f}{units[unit]}"


def parse(text: str) -> int:
    """Bytes of `10m`, `1.5GB`, `512`; a unit is 1,024-fold, as in docker's `--storage-opt`.

    Raises `InvalidSize`.
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise InvalidSize(f"invalid size {text!r}", hint="write it as 512, 10m or 1.5g")
    power = _POWERS[found[2].lower()] if found[2] else 0
    return int(float(found[1]) * 1024**power)
