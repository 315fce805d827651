"""What hangs together: from the document that an end means to every blob that it needs.

Bounded, because an index of a few bytes can name one document often, and indexes each other.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from lamina.errors import BadDocument, DigestMismatch
from lamina.images.platforms import best
from lamina.spec import manifest as manifests
from lamina.spec import strictjson
from lamina.spec.manifest import Descriptor, Index, Manifest
from lamina.transfer.ends.api import Document, Source
from lamina.values.digest import Digest

_NESTING = 4
_DOCUMENTS = 2_000
_BLOBS = 50_000
_BYTES = 64 << 20  # of all documents together


class Graph(NamedTuple):
    """`top`, the documents that lead from it, each after those it names, and all their blobs."""

    top: Document
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]


def whole(source: Source) -> Graph:
    """Everything that a source means, of every platform; raises `BadInput`, as `NotTrusted` is."""
    walk = _Walk(source)
    top = walk.enter(source.top(), _NESTING)
    walk.require()
    blobs = _each_once(*walk.manifests)
    return Graph(top, tuple(walk.documents.values()), tuple(blobs.values()))


def one(source: Source, platform: tuple[str, ...]) -> Graph:
    """The one image for a platform; raises `BadInput`."""
    manifest = for_platform(source, platform)
    top = Document.of(manifest.raw, manifest.media_type)
    return Graph(top, (), tuple(_each_once(manifest).values()))


def for_platform(source: Source, platform: tuple[str, ...]) -> Manifest:
    """The manifest for a platform, through whatever indexes lead to it; raises `BadInput`."""
    document = source.top()
    leading: list[Digest] = []
    for _ in range(_NESTING):
        leading.append(document.digest)
        found = manifests.parse(document.raw, document.media_type)
        if isinstance(found, Manifest):
            source.require(leading)
            return found
        chosen = best(found, platform, document.digest.short)
        document = _document(source, chosen)
    raise BadDocument("indexes are nested too deep")


class _Walk:
    """Goes through documents, each once, those that are named before those that name them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = _BYTES
        self._above: dict[Digest, set[Digest]] = {}  # the indexes that name a document
        self._named: list[Digest] = []  # those of the manifests
        self.documents: dict[Digest, Document] = {}
        self.manifests: list[Manifest] = []

    def enter(self, document: Document, depth: int) -> Document:
        """Take in what a document names, and what that names; gives it with its media type."""
        self._left -= len(document.raw)
        if self._left < 0:
            raise BadDocument(f"the documents of the image have over {_BYTES} bytes")
        found = manifests.parse(document.raw, document.media_type)
        if isinstance(found, Manifest):
            self.manifests.append(found)
            self._named.append(document.digest)
            return document._replace(media_type=found.media_type)
        if not depth:
            raise BadDocument("indexes are nested too deep")
        for each in self._new(found, document.digest):
            child = self.enter(_document(self._source, each), depth - 1)
            self.documents[each.digest] = child
        return document._replace(media_type=found.media_type)

    def _new(self, index: Index, digest: Digest) -> Iterator[Descriptor]:
        for each in index.manifests:
            is_new = each.digest not in self._above
            self._above.setdefault(each.digest, set()).add(digest)
            if len(self._above) > _DOCUMENTS:
                raise BadDocument(f"the index leads to over {_DOCUMENTS} images")
            if is_new:
                yield each

    def require(self) -> None:
        """Have the source vouch for every manifest, or for what leads to it."""
        for digest in self._named:
            self._source.require([*self._leading_to(digest), digest])

    def _leading_to(self, digest: Digest) -> list[Digest]:
        found: dict[Digest, None] = {}
        waiting = [digest]
        while waiting:
            above = self._above.get(waiting.pop(), set()).difference(found)
            found.update(dict.fromkeys(sorted(above)))
            waiting += above
        return list(found)


def _each_once(*manifests: Manifest) -> dict[Digest, Descriptor]:
    """The blobs of manifests, layers first; raises `BadDocument` for one with two sizes."""
    found: dict[Digest, Descriptor] = {}
    for manifest in manifests:
        for each in (*manifest.layers, manifest.config):
            if found.setdefault(each.digest, each).size != each.size:
                raise BadDocument(f"the blob {each.digest.short} is named with two sizes")
        if len(found) > _BLOBS:
            raise BadDocument(f"the index leads to over {_BLOBS} blobs")
    return found


def _document(source: Source, wanted: Descriptor) -> Document:
    if wanted.size > strictjson.LIMIT:
        raise BadDocument(f"the document {wanted.digest.short} claims {wanted.size} bytes")
    raw = source.document(wanted)
    if len(raw) != wanted.size:
        raise DigestMismatch(f"{wanted.digest} has {len(raw)} bytes, not {wanted.size}")
    found = hashlib.new(wanted.digest.algorithm, raw).hexdigest()
    if found != wanted.digest.hex:
        raise DigestMismatch(f"{wanted.digest} has the content of {found}")
    return Document(raw, wanted.media_type, wanted.digest)
