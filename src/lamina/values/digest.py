"""Digests: the names that content has (OCI image-spec, descriptor.md#digests).

A digest is a text `sha256:<64 hex>` that has been checked once, where it came in; the
subclasses say of what it is the digest, so that a type checker can tell them apart.
"""

from typing import Self

from lamina.errors import InvalidDigest

_HEX = frozenset("0123456789abcdef")
_HEX_LENGTH = {"sha256": 64, "sha512": 128}


class Digest(str):
    """`<algorithm>:<hex>`; raises `InvalidDigest` unless it is exactly that."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        algorithm, separator, hexadecimal = text.partition(":")
        if (
            not separator
            or _HEX_LENGTH.get(algorithm) != len(hexadecimal)
            or not _HEX.issuperset(hexadecimal)
        ):
            raise InvalidDigest(
                f"invalid digest {text[:100]!r}", hint="a digest looks like sha256:<64 hex digits>"
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The SHA-256 digest of `data`."""
        import hashlib  # OpenSSL takes 5 ms to load, and a listing hashes nothing

        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """The SHA-256 digest whose 32 raw bytes are given."""
        return cls("sha256:" + raw.hex())

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The hexadecimal part, in full."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve hexadecimal digits, as tables show them."""
        return self.hex[:12]


class DiffID(Digest):
    """The digest of one layer's uncompressed tar (image-spec, config.md#layer-diffid)."""

    __slots__ = ()


class ChainID(Digest):
    """The digest of a layer and all below it (image-spec, config.md#layer-chainid)."""

    __slots__ = ()

    @classmethod
    def extend(cls, parent: "ChainID | None", diff_id: DiffID) -> "ChainID":
        """The chain ID of `diff_id` laid over `parent` (over nothing: the diff ID itself)."""
        if parent is None:
            return cls(diff_id)
        return cls.of(f"{parent} {diff_id}".encode())


class ImageID(Digest):
    """The digest of an image's config document: docker's image ID."""

    __slots__ = ()


class BlobDigest(Digest):
    """The digest of a stored blob: a manifest, a config, a compressed layer."""

    __slots__ = ()


def chain_ids(
    diff_ids: "list[DiffID] | tuple[DiffID, ...]", below: ChainID | None = None
) -> tuple[ChainID, ...]:
    """The chain IDs of a list of diff IDs, lowest first, over what lies `below` them."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        below = ChainID.extend(below, diff_id)
        chain.append(below)
    return tuple(chain)
