"""What a build leaves besides an image in the store: `-o type=oci|docker|tar|local`.

An image as an archive for others, or its merged tree; every byte the same for the same image.
Layers of an OCI archive are compressed as a push would do it, into files without a name.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

from lamina.archive.apply import apply
from lamina.archive.diff import whole_tree
from lamina.archive.entry import DIR, FILE, Entry, EntryStream, Write
from lamina.archive.gzipping import Gzip
from lamina.archive.writer import segments, write
from lamina.build.outputs import DOCKER, OCI, TAR, Output
from lamina.errors import from_oserror
from lamina.fs.atomic import write_all
from lamina.fs.tree import StackedTree, TreeView
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.tape import StreamTape
from lamina.layers.store import LayerStore
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor
from lamina.spec.strictjson import Json, dump
from lamina.values.digest import BlobDigest, ChainID, chain_ids
from lamina.values.reference import Reference

_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


class Exporter:
    """Writes images whose layers are in one store."""

    def __init__(self, layers: LayerStore) -> None:
        self._layers = layers

    def archive(self, image: ImageConfig, output: Output, names: list[str], out: Write) -> str:
        """Write an archive; gives the digest of the manifest in it, if there is one."""
        if output.kind == DOCKER:
            self._docker(image, names, out)
            return ""
        if output.kind == TAR:
            with self._tree(image) as tree:
                write(whole_tree(tree), out)
            return ""
        with ExitStack() as held:
            entries, digest = self._layout(image, output, names, held)
            write(entries, out)
            return digest

    def folder(self, image: ImageConfig, output: Output, names: list[str], path: str) -> str:
        """Write the tree, or an OCI layout, into a directory, which is made if need be.

        All in it belongs to the caller. Gives the manifest's digest, if there is one. Raises a
        `StorageError`.
        """
        try:
            os.makedirs(path, exist_ok=True)
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_oserror(error, "writing to", path) from error
        try:
            with ExitStack() as held:
                if output.kind == OCI:
                    entries, digest = self._layout(image, output, names, held)
                else:
                    entries, digest = whole_tree(held.enter_context(self._tree(image))), ""
                apply(root, segments(_owned(entries), _forget), whiteouts=False)
                return digest
        finally:
            os.close(root)

    def _tree(self, image: ImageConfig) -> "_Closing":
        chain = image.top_chain
        return _Closing(self._layers.view(chain) if chain is not None else StackedTree(()))

    def _docker(self, image: ImageConfig, names: list[str], out: Write) -> None:
        chain = chain_ids(image.diff_ids)
        tape = StreamTape(out)

        def layer(path: str, number: int) -> None:
            with tape.member(path, self._layers.tar_size(chain[number])) as write_layer:
                self._layers.export(chain[number], write_layer)

        archive = ArchiveWriter(tape)
        familiar = [Reference.parse(name).with_default_tag().familiar for name in names]
        archive.add(image.id, image, familiar, layer)
        archive.finish()

    # --- OCI ----------------------------------------------------------------------------

    def _layout(
        self, image: ImageConfig, output: Output, names: list[str], held: ExitStack
    ) -> tuple[EntryStream, str]:
        """The files of an OCI layout in order, and the manifest's digest."""
        blobs: dict[str, _Blob] = {}
        described = []
        for chain in chain_ids(image.diff_ids):
            blob = self._layer(chain, output.plain, held)
            kind = mediatypes.OCI_LAYER if output.plain else mediatypes.OCI_LAYER_GZIP
            described.append(_descriptor(blob, kind))
            blobs[blob.digest] = blob
        about = _in_memory(image.raw, held)
        blobs[about.digest] = about
        raw = manifests.build(_descriptor(about, mediatypes.OCI_CONFIG), tuple(described))
        document = _in_memory(raw, held)
        blobs[document.digest] = document
        index = _in_memory(_index(document, names), held)
        mark = _in_memory(b'{"imageLayoutVersion":"1.0.0"}', held)
        return _files(blobs, index, mark), document.digest

    def _layer(self, chain: ChainID, plain: bool, held: ExitStack) -> "_Blob":
        descriptor = _nameless(self._layers.root.scratch(f"exported{os.urandom(4).hex()}"))
        held.callback(os.close, descriptor)
        digest = hashlib.sha256()

        def keep(data: bytes) -> None:
            digest.update(data)
            write_all(descriptor, data)

        if plain:
            self._layers.export(chain, keep)
        else:
            codec = Gzip(keep)
            try:
                self._layers.export(chain, codec.write)
                codec.finish()
            finally:
                codec.close()
        return _Blob(f"sha256:{digest.hexdigest()}", os.fstat(descriptor).st_size, descriptor)


class _Blob(NamedTuple):
    digest: str
    size: int
    descriptor: int

    def open(self) -> int:
        return os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)


class _Closing:
    """A view that is closed at the end of a block."""

    def __init__(self, view: TreeView) -> None:
        self._view = view

    def __enter__(self) -> TreeView:
        return self._view

    def __exit__(self, *_exception: object) -> None:
        self._view.close()


def _nameless(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return descriptor


def _in_memory(data: bytes, held: ExitStack) -> _Blob:
    descriptor = os.memfd_create("document", os.MFD_CLOEXEC)
    held.callback(os.close, descriptor)
    write_all(descriptor, data)
    return _Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), descriptor)


def _descriptor(blob: _Blob, kind: str) -> Descriptor:
    return Descriptor(kind, BlobDigest(blob.digest), blob.size, {}, ("", "", ""))


def _index(manifest: _Blob, names: list[str]) -> bytes:
    """One descriptor for each name, annotated as containerd and docker do."""
    described: list[Json] = []
    for name in names or [""]:
        row: dict[str, Json] = {
            "mediaType": mediatypes.OCI_MANIFEST,
            "digest": manifest.digest,
            "size": manifest.size,
        }
        if name:
            full = Reference.parse(name).with_default_tag()
            row["annotations"] = {_FULL_NAME: str(full), _REF_NAME: full.tag or "latest"}
        described.append(row)
    return dump({"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": described})


def _files(blobs: dict[str, _Blob], index: _Blob, mark: _Blob) -> EntryStream:
    for folder in (b"blobs", b"blobs/sha256"):
        yield Entry(folder, DIR, 0o755), None
    for digest in sorted(blobs):
        yield _file(b"blobs/sha256/" + digest.partition(":")[2].encode(), blobs[digest])
    yield _file(b"index.json", index)
    yield _file(b"oci-layout", mark)


def _file(name: bytes, blob: _Blob) -> tuple[Entry, Callable[[], int]]:
    return Entry(name, FILE, 0o644, size=blob.size), blob.open


def _owned(entries: EntryStream) -> Iterator[tuple[Entry, Callable[[], int] | None]]:
    uid, gid = os.geteuid(), os.getegid()
    for entry, opener in entries:
        yield entry._replace(uid=uid, gid=gid), opener


def _forget(_data: bytes) -> None:
    """A tar that nobody wants."""
