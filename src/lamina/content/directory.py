"""Blobs as files named by their digest.

    <folder>/sha256/<hex>      complete and verified when it was put there

A blob is written in the staging folder and renamed; whether it survives a power cut is the
business of whoever ends the work with a barrier.
"""

import hashlib
import os
from collections.abc import Iterator

from lamina.content.verified import ByteStream, VerifiedReader
from lamina.errors import StoreDamaged, from_oserror
from lamina.fs.atomic import write_all
from lamina.values.digest import BlobDigest, Digest

_CHUNK = 1 << 20


class BlobFile:
    """An open blob for reading; verified as it is read."""

    def __init__(self, descriptor: int, digest: Digest) -> None:
        self._fd = descriptor
        self._verified = VerifiedReader(self, digest, os.fstat(descriptor).st_size)
        self._raw = True

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes as they lie on disk."""
        return os.read(self._fd, size)

    @property
    def verified(self) -> VerifiedReader:
        """The same bytes, verified at their end."""
        return self._verified

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class BlobStore:
    """Blobs beneath `folder`; what is being written lies in `staging`."""

    def __init__(self, folder: str, staging: str) -> None:
        self._folder = folder
        self._staging = staging

    def path(self, digest: Digest) -> str:
        """Where a blob lies or would lie."""
        return os.path.join(self._folder, digest.algorithm, digest.hex)

    def put(self, stream: ByteStream, *, owner: str) -> tuple[BlobDigest, int]:
        """Keep all of `stream`; gives its digest and its size in bytes.

        `owner` begins the name of the staging file, so that recovery knows whose it is. Putting
        what is here already changes nothing. Raises `StorageError`.
        """
        temporary = os.path.join(self._staging, f"{owner}.blob.{os.urandom(6).hex()}")
        digest = hashlib.sha256()
        size = 0
        try:
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                while data := stream.read(_CHUNK):
                    digest.update(data)
                    size += len(data)
                    write_all(descriptor, data)
            finally:
                os.close(descriptor)
            name = BlobDigest("sha256:" + digest.hexdigest())
            os.makedirs(os.path.dirname(self.path(name)), mode=0o700, exist_ok=True)
            os.rename(temporary, self.path(name))
        except OSError as error:
            _unlink(temporary)
            raise from_oserror(error, "writing a blob to", self._folder) from error
        except BaseException:
            _unlink(temporary)
            raise
        return name, size

    def put_bytes(self, data: bytes, *, owner: str) -> BlobDigest:
        """Keep a small document."""
        digest = BlobDigest.of(data)
        if self.has(digest):
            return digest
        return self.put(_Bytes(data), owner=owner)[0]

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return os.path.exists(self.path(digest))

    def open(self, digest: Digest) -> BlobFile:
        """The blob for reading; raises `StoreDamaged` when it is gone."""
        try:
            return BlobFile(os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC), digest)
        except FileNotFoundError:
            raise StoreDamaged(f"the blob {digest} is missing", hint="run `lamina check`") from None

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob whole, verified; raises `StoreDamaged` when it is larger or wrong."""
        blob = self.open(digest)
        try:
            data = blob.read(limit + 1)
        finally:
            blob.close()
        if len(data) > limit or Digest.of(data) != digest:
            raise StoreDamaged(f"the blob {digest} was changed", hint="run `lamina check`")
        return data

    def remove(self, digest: Digest) -> None:
        """Take a blob away; nothing when it is gone."""
        _unlink(self.path(digest))

    def all(self) -> Iterator[BlobDigest]:
        """Every blob that lies here."""
        try:
            names = sorted(os.listdir(os.path.join(self._folder, "sha256")))
        except FileNotFoundError:
            return
        for name in names:
            yield BlobDigest(f"sha256:{name}")


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int, /) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
