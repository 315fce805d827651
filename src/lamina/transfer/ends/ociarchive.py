"""An OCI layout as one tar, written: all blobs, then index.json."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Lock

from lamina.archive.entry import Write
from lamina.images import ocilayout
from lamina.images.tape import FileTape, Tape
from lamina.spec import strictjson
from lamina.spec.manifest import Descriptor
from lamina.spec.strictjson import Json
from lamina.transfer.ends.api import Document, Opener, pour
from lamina.transfer.ends.layout import with_image
from lamina.values.digest import Digest


class OciArchiveSink:
    """Images onto a tape; each is called by the `annotations` that stand when it is published.

    In a file several blobs are written at a time, each in the place that `begin` took for it.
    """

    doing = "copying"

    def __init__(self, tape: Tape, annotations: dict[str, str]) -> None:
        self.at_once = 4 if isinstance(tape, FileTape) else 1
        self.annotations = annotations
        self._tape = tape
        self._lock = Lock()
        self._places: dict[Digest, int] = {}
        self._written: set[Digest] = set()
        self._index: dict[str, Json] = {"schemaVersion": 2, "manifests": []}
        tape.file("oci-layout", ocilayout.MARKER)

    def begin(self, top: Document, blobs: Sequence[Descriptor]) -> None:
        """Take the blobs' places in their order, so that equal images are equal archives."""
        if isinstance(self._tape, FileTape):
            for each in blobs:
                if each.digest not in self._places:
                    place = self._tape.place(ocilayout.blob_path(each.digest), each.size)
                    self._places[each.digest] = place

    def has(self, blob: Descriptor) -> bool:
        """Whether an image before it brought the blob."""
        return blob.digest in self._written

    def put(self, blob: Descriptor, opener: Opener) -> str:
        """Write the blob."""
        name = ocilayout.blob_path(blob.digest)
        with self._member(name, blob) as write:
            pour(opener, write)
        with self._lock:
            self._written.add(blob.digest)
        return "copied"

    def _member(self, name: str, blob: Descriptor) -> AbstractContextManager[Write]:
        if isinstance(self._tape, FileTape):
            return self._tape.filled(name, self._places[blob.digest], blob.size)
        return self._tape.member(name, blob.size)

    def put_document(self, document: Document) -> None:
        """Write a document."""
        if document.digest not in self._written:
            self._written.add(document.digest)
            self._tape.file(ocilayout.blob_path(document.digest), document.raw)

    def publish(self, document: Document) -> None:
        """Have it in the index, which `finish` writes."""
        self.put_document(document)
        self._index = with_image(self._index, document, self.annotations)

    def finish(self) -> None:
        """Write index.json and the end."""
        self._tape.file("index.json", strictjson.dump(self._index))
        self._tape.finish()
