"""What a build leaves besides an image in the store: `-o type=oci|docker|tar|local`.

An image as an archive for others, or its merged tree; every byte the same for the same image.
Layers of an OCI archive are compressed as a push would do it, into files without a name.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.apply import apply
from lamina.archive.diff import entries_below, whole_tree
from lamina.archive.entry import DIR, Content, Entry, EntryStream, Write
from lamina.archive.packing import Packing
from lamina.archive.writer import segments, write
from lamina.build.annotations import (
    INDEX,
    INDEX_DESCRIPTOR,
    MANIFEST,
    MANIFEST_DESCRIPTOR,
    Annotations,
    at_level,
)
from lamina.build.image import platform_of
from lamina.build.likening import keep_like, keep_only
from lamina.build.outputs import OCI, TAR, Output, refuse_several
from lamina.errors import from_oserror
from lamina.fs.faults import crash_point
from lamina.fs.tree import StackedTree, TreeView
from lamina.images import ocilayout
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.store import ImageStore
from lamina.images.tape import StreamTape
from lamina.layers.store import LayerStore
from lamina.spec import packageurl
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.intoto import Predicate, attestation
from lamina.spec.manifest import Descriptor
from lamina.transfer import graph
from lamina.transfer.copying import copy
from lamina.transfer.ends.api import Source
from lamina.transfer.ends.layout import LayoutSink
from lamina.transfer.ends.ociarchive import OciArchiveSink
from lamina.transfer.ends.packing import PackedIndex, PackedLayer, PackedSource, pack_layer
from lamina.transfer.ends.stored import kept_blob
from lamina.transfer.opening import scratch_file
from lamina.transfer.save import Exported, export_tree
from lamina.values.digest import ChainID, DiffID, chain_ids
from lamina.values.reference import Reference

if TYPE_CHECKING:  # only a push loads what speaks to registries
    from lamina.registry.repository import Repository

Images = Sequence[ImageConfig]
"""One image, for one or several platforms; their layers are all in the store."""
Predicates = Sequence[Sequence[Predicate]]
"""What is said of each of them; of none where there is nothing."""


class Exporter:
    """Writes images whose layers are in one store."""

    def __init__(self, layers: LayerStore, predicates: Predicates = ()) -> None:
        self._layers = layers
        self._predicates = predicates

    def archive(self, images: Images, output: Output, names: list[str], out: Write) -> str:
        """Write an archive; gives the digest of the manifest in it, if there is one.

        A tar of several platforms has a folder for each; docker's archive has no room for them.
        Raises `UsageError`.
        """
        if output.kind == OCI:
            sink = OciArchiveSink(StreamTape(out), {})
            digest = self._send(images, output, names, sink)
            sink.finish()
            return digest
        if output.kind == TAR:
            self._tar(images, out)
            return ""
        refuse_several([output], len(images))
        (image,) = images
        tape = StreamTape(out)
        archive = ArchiveWriter(tape)
        familiar = [_full(name).familiar for name in names]
        archive.add(image.id, image, familiar, Exported(image, self._layers, tape))
        archive.finish()
        return ""

    def folder(self, images: Images, output: Output, names: list[str], path: str) -> str:
        """Write the tree, or an OCI layout, into a directory, which is made if need be.

        All in it belongs to the caller; of several platforms each tree has a directory of its own.
        Gives the manifest's digest, if there is one. Raises a `StorageError`.
        """
        if output.kind == OCI:
            return self._send(images, output, names, LayoutSink(path, {}))
        for image in images:
            inner = os.path.join(path, _folder_of(image)) if len(images) > 1 else path
            self._unroll(image, inner, deletes=output.deletes)
        if output.deletes and len(images) > 1:
            keep_only(path, {_folder_of(image) for image in images})
        return ""

    def push(
        self,
        images: Images,
        store: ImageStore,
        target: "Repository",
        name: Reference,
        names: list[str],
        annotations: Annotations = (),
        packing: Packing | None = None,
    ) -> str:
        """Have an image at a registry under one of its names, as an index; gives its digest.

        Without a `packing` layers go as they came, as far as their blobs are in the store; they go
        only where they are missing. Raises `RegistryError` or a `StorageError`.
        """
        from lamina.transfer.ends.remote import RegistrySink

        with ExitStack() as files:
            blobs = _Blobs(store, packing)
            how = packing or Packing()
            content = self._content_of(images, how, files, names, annotations, blobs)
            found = graph.whole(content)
            beside = {
                each.digest: store.repositories_of(each.digest, name.domain) for each in found.blobs
            }
            copy(found, content, RegistrySink(target, name, beside))
        return found.top.digest

    def _tar(self, images: Images, out: Write) -> None:
        with ExitStack() as held:
            trees = [held.enter_context(closing(self._tree(image))) for image in images]
            if len(trees) == 1:
                export_tree(trees[0], out)
                return
            folders = (os.fsencode(_folder_of(image)) for image in images)
            write(chain.from_iterable(map(_below, folders, trees)), out)

    def _unroll(self, image: ImageConfig, path: str, *, deletes: bool) -> None:
        with _directory(path) as root, closing(self._tree(image)) as tree:
            if deletes:
                keep_like(root, path, tree)
            apply(root, segments(_owned(whole_tree(tree)), _forget), whiteouts=False)
            crash_point("tree-written")

    def _tree(self, image: ImageConfig) -> TreeView:
        chain = image.top_chain
        return self._layers.view(chain) if chain is not None else StackedTree(())

    def _send(
        self,
        images: Images,
        output: Output,
        names: list[str],
        sink: LayoutSink | OciArchiveSink,
    ) -> str:
        """Have an image at a sink under each of its names; gives the digest of its document."""
        is_one = len(images) == 1 and not self._predicates
        level = MANIFEST_DESCRIPTOR if is_one else INDEX_DESCRIPTOR
        said = at_level(output.annotations, level, platform_of(images[0]))
        packing = None if output.plain else output.packing or Packing()
        with ExitStack() as files:
            content = self._content_of(images, packing, files, names, output.annotations)
            found = graph.whole(content)
            for called in [_called(name) for name in names] or [{}]:
                sink.annotations = said | called
                copy(found, content, sink)
        return found.top.digest

    def _content_of(
        self,
        images: Images,
        packing: Packing | None,
        files: ExitStack,
        names: list[str],
        annotations: Annotations,
        blobs: "_Blobs | None" = None,
    ) -> Source:
        """An image's content; several platforms', or with what is said of it, under an index.

        Those of the `blobs` are taken as they are.
        """
        packed = [
            PackedSource(
                image,
                [
                    (blobs.of(diff_id) if blobs is not None else None)
                    or self._packed(chain, packing, files)
                    for diff_id, chain in zip(
                        image.diff_ids, chain_ids(image.diff_ids), strict=True
                    )
                ],
                at_level(annotations, MANIFEST, platform_of(image)),
                at_level(annotations, MANIFEST_DESCRIPTOR, platform_of(image)),
            )
            for image in images
        ]
        if len(packed) == 1 and not self._predicates:
            return packed[0]
        attestations = [
            attestation(said, image.described(), _package_urls(names, config))
            for said, image, config in zip(self._predicates, packed, images, strict=False)
        ]
        return PackedIndex(packed, at_level(annotations, INDEX), attestations)

    def _packed(self, chain: ChainID, packing: Packing | None, files: ExitStack) -> PackedLayer:
        file = scratch_file(self._layers)
        files.callback(os.close, file)
        made = pack_layer(file, partial(self._layers.export, chain), packing)
        crash_point("layer-packed")
        return made


class _Blobs(NamedTuple):
    """The blobs that a store keeps of layers; with a `packing` only those of its kind."""

    store: ImageStore
    packing: Packing | None

    def of(self, diff_id: DiffID) -> PackedLayer | None:
        """A layer's, if there is one that may be sent as it is."""
        row = kept_blob(diff_id, self.store, self.packing)
        if row is None:
            return None
        blob = Descriptor.of(row.media_type, row.digest, row.size)
        return PackedLayer(blob, partial(self.store.blobs.open, row.digest))


@contextmanager
def _directory(path: str) -> Iterator[int]:
    try:
        os.makedirs(path, exist_ok=True)
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, "writing to", path) from error
    try:
        yield root
    finally:
        os.close(root)


def _folder_of(image: ImageConfig) -> str:
    """As BuildKit calls what it unrolls for one of several platforms."""
    return "_".join(filter(None, (image.os, image.architecture, image.variant)))


def _full(name: str) -> Reference:
    return Reference.parse(name).with_default_tag()


def _called(name: str) -> dict[str, str]:
    """As containerd and docker call an image in a layout."""
    full = _full(name)
    return {ocilayout.FULL_NAME: str(full), ocilayout.REF_NAME: full.tag or "latest"}


def _package_urls(names: list[str], image: ImageConfig) -> list[str]:
    """How in-toto calls an image; `_` where it has no name, as BuildKit does."""
    platform = platform_of(image)
    return [packageurl.of_image(_full(name), platform) for name in names] or ["_"]


def _below(folder: bytes, tree: TreeView) -> EntryStream:
    """A folder and a tree in it, as members of a tar."""
    yield Entry(folder, DIR, 0o755), None
    yield from entries_below(tree, b"", folder)


def _owned(entries: EntryStream) -> Iterator[tuple[Entry, Content | None]]:
    uid, gid = os.geteuid(), os.getegid()
    for entry, opener in entries:
        yield entry._replace(uid=uid, gid=gid), opener


def _forget(_data: bytes) -> None:
    """A tar that nobody wants."""
