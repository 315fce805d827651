"""An OCI layout (image-layout.md of the image-spec) as an end of a copy; a tar is only read."""

import fcntl
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress

from lamina.content.verified import ByteStream
from lamina.errors import BadDocument, ImageNotFound, InvalidReference, UsageError, from_oserror
from lamina.fs.atomic import Steadily, replace_file, write_all
from lamina.fs.newfile import new_file
from lamina.images import ocilayout
from lamina.images.members import Members
from lamina.kernel.ioctl import syncfs
from lamina.spec import mediatypes, strictjson
from lamina.spec.manifest import Descriptor
from lamina.spec.strictjson import Json
from lamina.transfer.ends.api import Document, Opener, Unjudged, has_file, pour
from lamina.transfer.notation import numbered
from lamina.values.digest import Digest
from lamina.values.reference import Reference

_MARKS = frozenset(("oci-layout", "index.json", "blobs"))
_SEVERAL = 8  # names that an error lists


class LayoutSource(Unjudged):
    """One image of a layout: called `ref`, the Nth (`@N`), or (``) the only one."""

    def __init__(self, members: Members, ref: str) -> None:
        self._members = members
        self._ref = ref
        if not ocilayout.is_layout(members):
            raise BadDocument("this is no OCI layout: it has no oci-layout with an index.json")

    def top(self) -> Document:
        """The document of that name; of several with one name, an index of them."""
        index = ocilayout.index_of(self._members)
        chosen = self._chosen(index.manifests)
        if len(chosen) == 1:
            found = index.manifests[chosen[0]]
            raw = ocilayout.document(self._members, found)
            return Document(raw, found.media_type, found.digest)
        if len(chosen) == len(index.manifests):
            return Document.of(index.raw, index.media_type)
        return Document.of(_of(index.raw, chosen), mediatypes.OCI_INDEX)

    def _chosen(self, found: tuple[Descriptor, ...]) -> list[int]:
        number = numbered(self._ref)
        if number is not None:
            chosen = [number] if number < len(found) else []
        else:
            chosen = [at for at, each in enumerate(found) if self._is_meant(each)]
        if not chosen:
            raise ImageNotFound(
                f"the layout has no image {self._ref}".rstrip(), hint=_listed(found)
            )
        if len({ocilayout.called(found[at]) for at in chosen}) > 1:
            raise ImageNotFound(
                "the layout has several images", hint=f"choose one: {_listed(found)}"
            )
        return chosen

    def _is_meant(self, each: Descriptor) -> bool:
        called = ocilayout.called(each)
        if not self._ref or self._ref in called:
            return True
        wanted = _reference(self._ref)
        return wanted is not None and wanted in map(_reference, called)

    def document(self, wanted: Descriptor) -> bytes:
        """A document by digest."""
        return ocilayout.document(self._members, wanted)

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob's file."""
        return self._members.open(ocilayout.blob_path(blob.digest))


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text).with_default_tag()
    except InvalidReference:
        return None


def _of(raw: bytes, chosen: list[int]) -> bytes:
    """An index of some of an index's images, each described as it was."""
    all_of_them = strictjson.objects(strictjson.parse(raw, "index"), "manifests", "index")
    return strictjson.dump(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_INDEX,
            "manifests": [all_of_them[at] for at in chosen],
        }
    )


def _listed(found: tuple[Descriptor, ...]) -> str:
    names = [
        next(iter(ocilayout.called(each)), f"@{at}") for at, each in enumerate(found[:_SEVERAL])
    ]
    return f"it has {', '.join(names)}" if names else "it is empty"


class LayoutSink:
    """Images in the layout `path`, which is made where it is not.

    Each is called by the `annotations` that stand when it is published. Blobs come first and are
    seen by nobody, since each is whole and named by its digest; then one rename of index.json
    shows the image. A failure leaves whole blobs, which the next copy takes.
    """

    at_once = 4
    doing = "copying"

    def __init__(self, path: str, annotations: dict[str, str]) -> None:
        self.annotations = annotations
        self._path = path

    def begin(self, top: Document, blobs: Sequence[Descriptor]) -> None:
        """Make the folders; raises `UsageError` in a directory that holds something else."""
        algorithms = {each.digest.algorithm for each in blobs} | {"sha256", top.digest.algorithm}
        try:
            os.makedirs(self._path, exist_ok=True)
            names = os.listdir(self._path)
            if names and not _MARKS.intersection(names):
                raise UsageError(f"{self._path} holds something else than an OCI layout")
            for each in sorted(algorithms):
                os.makedirs(os.path.join(self._path, "blobs", each), exist_ok=True)
        except OSError as error:
            raise from_oserror(error, "writing", self._path) from error

    def _file(self, digest: Digest) -> str:
        return os.path.join(self._path, ocilayout.blob_path(digest))

    def has(self, blob: Descriptor) -> bool:
        """Whether there is a file of that name and size: what was put was verified then."""
        return has_file(self._file(blob.digest), blob.size)

    def put(self, blob: Descriptor, opener: Opener) -> str:
        """Write the blob's file."""
        with new_file(self._file(blob.digest), mode=0o644, follow=False) as descriptor:
            pour(opener, Steadily(descriptor))
        return "copied"

    def put_document(self, document: Document) -> None:
        """Write a document's file."""
        if not self.has(document.descriptor()):
            with new_file(self._file(document.digest), mode=0o644, follow=False) as descriptor:
                write_all(descriptor, document.raw)

    def publish(self, document: Document) -> None:
        """Name the document in index.json, once all it needs is on disk."""
        self.put_document(document)
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(folder)
                fcntl.flock(folder, fcntl.LOCK_EX)
                self._write("oci-layout", ocilayout.MARKER)
                self._write("index.json", self._with(document))
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise from_oserror(error, "writing", self._path) from error

    def _write(self, name: str, data: bytes) -> None:
        path = os.path.join(self._path, name)
        temporary = os.path.join(self._path, f".{name}.tmp")  # ours alone, by the lock
        replace_file(path, data, temporary=temporary, mode=0o644)

    def _with(self, document: Document) -> bytes:
        """The index.json that is there, with the document in it."""
        found: dict[str, Json] = {"schemaVersion": 2, "manifests": []}
        with suppress(FileNotFoundError), open(os.path.join(self._path, "index.json"), "rb") as old:
            found = strictjson.parse(old.read(strictjson.LIMIT + 1), "index.json")
        return strictjson.dump(with_image(found, document, self.annotations))


def names_for(ref: str) -> dict[str, str]:
    """The annotations of an image that is called `ref`."""
    return {ocilayout.REF_NAME: ref} if ref else {}


def with_image(
    index: dict[str, Json], document: Document, annotations: dict[str, str]
) -> dict[str, Json]:
    """An index.json with one more image; an older one of its name goes from it.

    Without a name, the same document is not named twice.
    """
    kind = document.media_type or mediatypes.OCI_MANIFEST
    added = document.descriptor()._replace(media_type=kind, annotations=annotations).as_json()
    name = _name(added)
    kept = [
        each
        for each in strictjson.objects(index, "manifests", "index.json")
        if each != added and not (name and _name(each) == name)
    ]
    return {**index, "manifests": [*kept, added]}


def _name(descriptor: dict[str, Json]) -> str:
    annotations = strictjson.mapping(descriptor, "annotations", "index.json")
    return strictjson.text(annotations, ocilayout.REF_NAME, "index.json")
