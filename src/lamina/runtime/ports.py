"""Ports that a container is said to listen on (`--expose`), as docker spells them.

They are noted and nothing more: a container has the host's network, or none.
"""

from collections.abc import Iterable

from lamina.errors import UsageError

_KINDS = ("tcp", "udp", "sctp")
_LAST = 65535


def ports(texts: Iterable[str]) -> tuple[str, ...]:
    """Each of `PORT[-PORT][/tcp|udp|sctp]` as `PORT/kind`, once; raises `UsageError`."""
    return tuple(dict.fromkeys(port for text in texts for port in _spread(text)))


def _spread(text: str) -> list[str]:
    numbers, _, kind = text.lower().partition("/")
    first, dash, last = numbers.partition("-")
    ends = [first, last if dash else first]
    if (kind or "tcp") not in _KINDS or not all(_is_port(each) for each in ends):
        raise UsageError(
            f"invalid port {text[:60]!r}", hint="write it as 80, 80/udp or 8000-8010/tcp"
        )
    if int(ends[0]) > int(ends[1]):
        raise UsageError(f"invalid port {text[:60]!r}: the range ends before it begins")
    return [f"{number}/{kind or 'tcp'}" for number in range(int(ends[0]), int(ends[1]) + 1)]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= _LAST
