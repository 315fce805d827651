"""skopeo's `dir:`: a directory of plain files, named by the digits of their digest.

version              "Directory Transport Version: 1.1"
manifest.json        the document that the directory means
<hex>.manifest.json  a document that an index names
<hex>                a blob
"""

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

from lamina.content.verified import ByteStream
from lamina.errors import BadDocument, StorageError, UsageError, from_oserror
from lamina.fs.atomic import Steadily, replace_file, sync_directory, write_all
from lamina.fs.newfile import new_file
from lamina.images.members import Members
from lamina.kernel.ioctl import syncfs
from lamina.spec import strictjson
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Document, Opener, Unjudged, has_file, pour

_MANIFEST, _VERSION = "manifest.json", "version"
_MARKER = b"Directory Transport Version: 1.1\n"
_ANY_MARKER = _MARKER.partition(b"1.1")[0]  # of any version
_OURS = re.compile(r"([0-9a-f]{64}|[0-9a-f]{128})(\.manifest\.json)?(\.\d+\.tmp)?|signature-\d+")


class DirectorySource(Unjudged):
    """What such a directory means."""

    def __init__(self, members: Members) -> None:
        self._members = members
        if not members.has(_MANIFEST):
            raise BadDocument(f"this is no `dir:` directory: it has no {_MANIFEST}")

    def top(self) -> Document:
        """manifest.json."""
        return Document.of(self._members.small(_MANIFEST, strictjson.LIMIT), "")

    def document(self, wanted: Descriptor) -> bytes:
        """A document by digest."""
        return self._members.small(f"{wanted.digest.hex}.manifest.json", strictjson.LIMIT)

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob's file."""
        return self._members.open(blob.digest.hex)


class DirectorySink:
    """A directory to be made so, or one that is so already, whose image is replaced.

    The mark comes first, and manifest.json last, by one rename; what the image before it had goes
    after that, and nothing else does.
    """

    at_once = 4
    doing = "copying"

    def __init__(self, path: str) -> None:
        self._path = path
        self._keeps = {_MANIFEST, _VERSION}

    def begin(self, top: Document, blobs: Sequence[Descriptor]) -> None:
        """Make the folder, and mark it; raises `UsageError` for one that holds something else."""
        try:
            os.makedirs(self._path, exist_ok=True)
            if not self._is_marked():
                if set(os.listdir(self._path)) - {_temporary(_VERSION)}:
                    raise UsageError(
                        f"{self._path} holds something else than a copied image",
                        hint="choose an empty directory, or a new one",
                    )
                self._write(_VERSION, _MARKER)
        except OSError as error:
            raise from_oserror(error, "writing", self._path) from error
        self._keeps |= {each.digest.hex for each in blobs}

    def _is_marked(self) -> bool:
        try:
            with open(self._file(_VERSION), "rb") as file:
                return file.read(len(_ANY_MARKER)) == _ANY_MARKER
        except FileNotFoundError:
            return False

    def _file(self, name: str) -> str:
        return os.path.join(self._path, name)

    def has(self, blob: Descriptor) -> bool:
        """Whether there is a file of that name and size."""
        return has_file(self._file(blob.digest.hex), blob.size)

    def put(self, blob: Descriptor, opener: Opener) -> str:
        """Write the blob's file."""
        with new_file(self._file(blob.digest.hex), mode=0o644, follow=False) as descriptor:
            pour(opener, Steadily(descriptor))
        self._keeps.add(blob.digest.hex)
        return "copied"

    def put_document(self, document: Document) -> None:
        """Write a document's file."""
        name = f"{document.digest.hex}.manifest.json"
        self._keeps.add(name)
        with new_file(self._file(name), mode=0o644, follow=False) as descriptor:
            write_all(descriptor, document.raw)

    def publish(self, document: Document) -> None:
        """Write manifest.json, once all it needs is on disk; raises `StorageError` where another
        copy to the same place has taken some of that away.
        """
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(folder)
                fcntl.flock(folder, fcntl.LOCK_EX)
                self._replace(document)
            finally:
                os.close(folder)
        except OSError as error:
            raise from_oserror(error, "writing", self._path) from error

    def _replace(self, document: Document) -> None:
        found = set(os.listdir(self._path))
        if self._keeps - found - {_MANIFEST, _VERSION}:
            raise StorageError(
                f"another copy to {self._path} took away what this one had brought",
                hint="copy it again",
            )
        self._write(_VERSION, _MARKER)
        self._write(_MANIFEST, document.raw)
        sync_directory(self._path)
        for name in found - self._keeps:
            if _OURS.fullmatch(name):
                os.unlink(self._file(name))

    def _write(self, name: str, data: bytes) -> None:
        replace_file(self._file(name), data, temporary=self._file(_temporary(name)), mode=0o644)


def _temporary(name: str) -> str:
    return f".{name}.tmp"
