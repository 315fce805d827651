"""What a store of blobs can do; any that passes `lamina.testing.content_suite` is one."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from lamina.content.verified import ByteStream
from lamina.values.digest import BlobDigest, Digest


class BlobReader(ByteStream, Protocol):
    """An open blob; its last `read` raises `StoreDamaged` unless the bytes were those named."""

    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Blobs(Protocol):
    """Blobs by digest: put whole or not at all, and never changed."""

    def put(
        self, stream: ByteStream, *, owner: str, expect: Digest | None = None
    ) -> tuple[BlobDigest, int]:
        """Keep all of `stream`; gives its digest and its size in bytes.

        `owner` is the lease of whoever puts it. The algorithm is that of `expect`, else SHA-256.
        Raises `DigestMismatch` when it is not `expect`, and whatever `stream` raises; nothing is
        left then. Putting what is here already changes nothing.
        """

    def put_bytes(self, data: bytes, *, owner: str) -> BlobDigest:
        """Keep a small document; one that is here and was damaged is whole again."""

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""

    def open(self, digest: Digest) -> BlobReader:
        """The blob for reading; raises `StoreDamaged` when it is gone."""

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob whole, verified; raises `StoreDamaged` when it is larger or wrong."""

    def remove(self, digest: Digest) -> None:
        """Take a blob away; nothing when it is gone."""

    def all(self) -> Iterator[BlobDigest]:
        """Every blob that lies here, sorted."""
