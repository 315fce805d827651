"""What a copy asks of its two ends. Content goes by digest, and is verified between them."""

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, Self, runtime_checkable

from lamina.content.verified import ByteStream
from lamina.spec.manifest import Descriptor
from lamina.values.digest import BlobDigest, Digest

_CHUNK = 1 << 20

Opener = Callable[[], AbstractContextManager[ByteStream]]
"""Gives a blob's bytes from the start; the last `read` raises unless they were the right ones."""

Trust = Callable[[Sequence[Digest]], None]
"""Raises `NotTrusted` for a manifest that is not signed as it should be, which the last of some
digests is; the others are of the documents that lead to it.
"""


class Document(NamedTuple):
    """A manifest or an index: its bytes, what it is said to be ("" for nothing), its digest."""

    raw: bytes
    media_type: str
    digest: BlobDigest

    @classmethod
    def of(cls, raw: bytes, media_type: str) -> Self:
        """A document that nobody named by digest."""
        return cls(raw, media_type, BlobDigest.of(raw))

    def descriptor(self) -> Descriptor:
        """What to name it by."""
        return Descriptor.of(self.media_type, self.digest, len(self.raw))


class Source(Protocol):
    """Where content comes from; all may be called by several threads."""

    def top(self) -> Document:
        """What the end means: a manifest or an index.

        Raises `ImageNotFound`, `BadInput` or an error of the medium.
        """

    def document(self, wanted: Descriptor) -> bytes:
        """A manifest or an index that another one names; verified by whoever asks."""

    def require(self, leading: Sequence[Digest]) -> None:
        """Raise `NotTrusted` for a manifest that is not to be taken from here: see `Trust`.

        Asked of each manifest before anything that it names is read.
        """

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob's bytes; verified by whoever reads."""


class Unjudged:
    """A source of which the policy of registries does not speak."""

    def require(self, leading: Sequence[Digest]) -> None:
        """Nothing is refused."""


class Sink(Protocol):
    """Where content goes. `at_once` says how many threads may put at a time, and `doing`, for
    people, what they do.

    Nothing that is put can be seen as an image before `publish`.
    """

    at_once: int
    doing: str

    def begin(self, top: Document, blobs: Sequence[Descriptor]) -> None:
        """Hear once, before the first `put`, what is to come and in which order.

        Raises what `publish` would raise, as far as that is known.
        """

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there."""

    def put(self, blob: Descriptor, opener: Opener) -> str:
        """Have a blob there, whole or not at all; gives what was done, for people."""

    def put_document(self, document: Document) -> None:
        """Have a manifest or an index there that a later one names."""

    def publish(self, document: Document) -> None:
        """Let the end mean this document from now on. All that it names is there."""


@runtime_checkable
class Abandons(Protocol):
    """A sink that may wait for others."""

    def give_up(self) -> None:
        """End every `put` at once, from another thread; the sink is of no use afterwards."""


def pour(opener: Opener, write: Callable[[bytes], object]) -> None:
    """Give a blob's bytes to `write`; raises unless they were the right ones."""
    with opener() as stream:
        while data := stream.read(_CHUNK):
            write(data)


def has_file(path: str, size: int) -> bool:
    """Whether there is a file of that size: itself, for a link may lead out of the end."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size
