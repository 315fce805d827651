"""Blobs as files named by their digest.

    <folder>/<algorithm>/<hex>      complete and verified when it was put there

A blob is written in the staging folder and renamed; whether it survives a power cut is the
business of whoever ends the work with a barrier.
"""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from lamina.content.verified import ByteStream, VerifiedReader
from lamina.errors import DigestMismatch, InvalidDigest, StoreDamaged, from_oserror
from lamina.fs.atomic import unlink_if_there, write_all
from lamina.fs.reading import DescriptorStream
from lamina.values.closing import Closing
from lamina.values.digest import BlobDigest, Digest

_CHUNK = 1 << 20
_ALGORITHMS = ("sha256", "sha512")


class BlobFile(Closing):
    """An open blob, verified as it is read; a context manager."""

    def __init__(self, descriptor: int, digest: Digest) -> None:
        self._fd = descriptor
        self._digest = digest
        self._bytes = VerifiedReader(DescriptorStream(descriptor), digest, None)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; raises `StoreDamaged` at the end unless they were those named."""
        try:
            return self._bytes.read(size)
        except DigestMismatch:
            raise _changed(self._digest) from None
        except OSError as error:
            raise from_oserror(error, "reading the blob", self._digest) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class BlobStore:
    """Blobs beneath `folder`; what is being written lies in `staging`. Implements `api.Blobs`."""

    def __init__(self, folder: str, staging: str) -> None:
        self._folder = folder
        self._staging = staging

    def path(self, digest: Digest) -> str:
        """Where a blob lies or would lie."""
        return os.path.join(self._folder, digest.algorithm, digest.hex)

    def put(
        self, stream: ByteStream, *, owner: str, expect: Digest | None = None
    ) -> tuple[BlobDigest, int]:
        """Keep all of `stream`; gives its digest and its size in bytes.

        `owner` begins the name of the staging file, so that recovery knows whose it is. The
        algorithm is that of `expect`, else SHA-256. Putting what is here already changes
        nothing. Raises `DigestMismatch` or `StorageError`; nothing is left then.
        """
        temporary = os.path.join(self._staging, f"{owner}.blob.{os.urandom(6).hex()}")
        try:
            digest, size = _written(temporary, stream, expect)
            os.makedirs(os.path.dirname(self.path(digest)), mode=0o700, exist_ok=True)
            os.rename(temporary, self.path(digest))
        except OSError as error:
            unlink_if_there(temporary)
            raise from_oserror(error, "writing a blob to", self._folder) from error
        except BaseException:
            unlink_if_there(temporary)
            raise
        return digest, size

    def writer(self, owner: str) -> "BlobWriter":
        """A new blob whose digest nobody knows yet, to be written piece by piece."""
        return BlobWriter(self, os.path.join(self._staging, f"{owner}.blob.{os.urandom(6).hex()}"))

    def put_bytes(self, data: bytes, *, owner: str) -> BlobDigest:
        """Keep a small document; one that is here and was damaged is whole again."""
        digest = BlobDigest.of(data)
        if not self._holds(digest, data):
            self.put(_Bytes(data), owner=owner)
        return digest

    def _holds(self, digest: Digest, data: bytes) -> bool:
        try:
            with open(self.path(digest), "rb") as file:
                return file.read(len(data) + 1) == data
        except OSError:
            return False

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return os.path.exists(self.path(digest))

    def open(self, digest: Digest) -> BlobFile:
        """The blob for reading; raises `StoreDamaged` when it is gone."""
        try:
            descriptor = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreDamaged(f"the blob {digest} is missing", hint="run `lamina check`") from None
        except OSError as error:
            raise from_oserror(error, "reading the blob", digest) from error
        return BlobFile(descriptor, digest)

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob whole, verified; raises `StoreDamaged` when it is larger or wrong."""
        data = b""
        with self.open(digest) as blob:
            while more := blob.read(limit + 1 - len(data)):
                data += more
                if len(data) > limit:
                    raise _changed(digest)
        return data

    def remove(self, digest: Digest) -> None:
        """Take a blob away; nothing when it is gone."""
        unlink_if_there(self.path(digest))

    def all(self) -> Iterator[BlobDigest]:
        """Every blob that lies here, sorted; what is not named by a digest is none."""
        for algorithm in _ALGORITHMS:
            try:
                names = sorted(os.listdir(os.path.join(self._folder, algorithm)))
            except FileNotFoundError:
                continue
            for name in names:
                try:
                    yield BlobDigest(f"{algorithm}:{name}")
                except InvalidDigest:
                    continue


class BlobWriter:
    """A blob that is being written; a context manager that leaves nothing unless it is placed."""

    def __init__(self, store: BlobStore, path: str) -> None:
        import hashlib

        self._store = store
        self._path = path
        self._hash = hashlib.sha256()
        self.size = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Take some bytes; raises `StorageError`."""
        self._hash.update(data)
        self.size += len(data)
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise from_oserror(error, "writing a blob to", self._path) from error

    @property
    def digest(self) -> BlobDigest:
        """Of what was written until now."""
        return BlobDigest(f"sha256:{self._hash.hexdigest()}")

    def place(self) -> None:
        """Give it its name; its row is written already."""
        target = self._store.path(self.digest)
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(self._path, target)
        except OSError as error:
            raise from_oserror(error, "writing a blob to", target) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        unlink_if_there(self._path)


def _written(path: str, stream: ByteStream, expect: Digest | None) -> tuple[BlobDigest, int]:
    import hashlib  # OpenSSL takes 5 ms to load, and a listing hashes nothing

    algorithm = expect.algorithm if expect is not None else "sha256"
    counted = hashlib.new(algorithm)
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while data := stream.read(_CHUNK):
            counted.update(data)
            size += len(data)
            write_all(descriptor, data)
    finally:
        os.close(descriptor)
    digest = BlobDigest(f"{algorithm}:{counted.hexdigest()}")
    if expect is not None and digest != expect:
        raise DigestMismatch(f"the content is {digest}, not {expect} as was promised")
    return digest, size


def _changed(digest: Digest) -> StoreDamaged:
    return StoreDamaged(f"the blob {digest} was changed", hint="run `lamina check`")


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int, /) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data
