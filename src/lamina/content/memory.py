"""Blobs in a dictionary: what the contract means, in the fewest lines; for tests and examples."""

import hashlib
import io
from collections.abc import Iterator

from lamina.content.verified import ByteStream
from lamina.errors import DigestMismatch, StoreDamaged
from lamina.values.closing import Closing
from lamina.values.digest import BlobDigest, Digest

_CHUNK = 1 << 20


class MemoryBlobs:
    """Implements `lamina.content.api.Blobs`."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def put(
        self, stream: ByteStream, *, owner: str, expect: Digest | None = None
    ) -> tuple[BlobDigest, int]:
        """Keep all of `stream`."""
        del owner  # nothing here outlives the process
        data = b"".join(iter(lambda: stream.read(_CHUNK), b""))
        algorithm = expect.algorithm if expect is not None else "sha256"
        digest = BlobDigest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
        if expect is not None and digest != expect:
            raise DigestMismatch(f"the content is {digest}, not {expect} as was promised")
        self._blobs.setdefault(digest, data)
        return digest, len(data)

    def put_bytes(self, data: bytes, *, owner: str) -> BlobDigest:
        """Keep a small document."""
        return self.put(io.BytesIO(data), owner=owner)[0]

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return digest in self._blobs

    def open(self, digest: Digest) -> "MemoryReader":
        """The blob for reading."""
        if digest not in self._blobs:
            raise StoreDamaged(f"the blob {digest} is missing")
        return MemoryReader(self._blobs[digest])

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob whole."""
        with self.open(digest) as blob:
            data = blob.read(limit + 1)
        if len(data) > limit:
            raise StoreDamaged(f"the blob {digest} is larger than {limit} bytes")
        return data

    def remove(self, digest: Digest) -> None:
        """Take a blob away."""
        self._blobs.pop(digest, None)

    def all(self) -> Iterator[BlobDigest]:
        """Every blob that lies here, sorted."""
        return iter([BlobDigest(digest) for digest in sorted(self._blobs)])


class MemoryReader(Closing):
    """Bytes that nobody can have changed."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        return self._stream.read(size)

    def close(self) -> None:
        """Let go of it."""
        self._stream.close()
