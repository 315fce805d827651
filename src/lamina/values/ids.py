"""Opaque identifiers that Lamina itself draws: layers in a driver, containers, leases."""

from typing import Self

from lamina.errors import UsageError

_HEX = frozenset("0123456789abcdef")


class _Hex64(str):
    """Sixty-four lower-case hexadecimal digits; nothing else may become part of a path."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if len(text) != 64 or not _HEX.issuperset(text):
            raise UsageError(f"invalid {cls.__name__} {text[:100]!r}")
        return super().__new__(cls, text)

    @classmethod
    def from_random(cls, randomness: bytes) -> Self:
        """An ID from 32 bytes of randomness, which the caller draws (this module is pure)."""
        return cls(randomness.hex())

    @property
    def short(self) -> str:
        """The first twelve digits, as tables show them."""
        return self[:12]


class LayerID(_Hex64):
    """A layer inside a storage driver: random, says nothing of its content."""

    __slots__ = ()


class ContainerID(_Hex64):
    """A container."""

    __slots__ = ()


class LeaseID(_Hex64):
    """One process's claim on what it is making, held as a lock file."""

    __slots__ = ()
