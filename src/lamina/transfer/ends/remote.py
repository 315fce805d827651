"""A repository of a registry as an end of a copy."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from lamina.content.verified import ByteStream
from lamina.errors import DigestMismatch, RegistryError
from lamina.registry.repository import Found, Repository
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Document, Opener, Trust
from lamina.values.digest import BlobDigest, Digest
from lamina.values.reference import Reference


class RegistrySource(NamedTuple):
    """What was found at a registry, and what it leads to there."""

    repository: Repository
    found: Found
    trust: Trust

    def top(self) -> Document:
        """The document that was found."""
        return Document.of(self.found.raw, self.found.media_type)

    def document(self, wanted: Descriptor) -> bytes:
        """A document by digest."""
        return self.repository.manifest(wanted.digest).raw

    def require(self, leading: Sequence[Digest]) -> None:
        """Ask whoever knows what is to be signed."""
        self.trust(leading)

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob as it comes over the wire; one that breaks off goes on where it did."""
        return self.repository.blob(blob.digest, blob.size)


class RegistrySink:
    """A name at a registry; `beside` are the repositories there that are said to have a blob."""

    at_once = 5  # docker's max-concurrent-uploads
    doing = "pushing"

    def __init__(
        self, repository: Repository, name: Reference, beside: Mapping[BlobDigest, Sequence[str]]
    ) -> None:
        self._repository = repository
        self._name = name
        self._beside = beside

    def begin(self, top: Document, blobs: Sequence[Descriptor]) -> None:
        """Under a digest goes only what has it; raises `DigestMismatch`."""
        wanted = self._name.digest
        if wanted is not None and wanted != top.digest:
            raise DigestMismatch(f"this is {top.digest}, not {wanted} as the name says")

    def has(self, blob: Descriptor) -> bool:
        """Ask the registry."""
        return self._repository.has(blob.digest)

    def put(self, blob: Descriptor, opener: Opener) -> str:
        """Have it taken from another repository where that can be, else send it."""
        own = self._repository.path
        place = None
        for path in [each for each in self._beside.get(blob.digest, ()) if each != own][:1]:
            try:
                place = self._repository.mount(blob.digest, path)
            except RegistryError:
                break  # it was only named so, or is not ours to take from: send it
            if place is None:
                return f"mounted from {path}"
        with _Sending(opener) as sending:
            self._repository.upload(blob.digest, blob.size, sending.again, place)
        return "pushed"

    def give_up(self) -> None:
        """Wait for no answer any more."""
        self._repository.session.give_up()

    def put_document(self, document: Document) -> None:
        """Put it under its digest."""
        self._repository.put_manifest(document.raw, document.media_type, document.digest)

    def publish(self, document: Document) -> None:
        """Put it under the tag or the digest."""
        reference = self._name.digest or self._name.tag or "latest"
        self._repository.put_manifest(document.raw, document.media_type, reference)


class _Sending:
    """A blob's bytes for each try to send it; at most one of them is open."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._open: AbstractContextManager[ByteStream] | None = None

    def again(self) -> ByteStream:
        """From the start."""
        self._close()
        opened = self._opener()
        stream = opened.__enter__()
        self._open = opened
        return stream

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def __enter__(self) -> "_Sending":
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()
