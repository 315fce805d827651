"""An image of Lamina's own store as an end of a copy."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from lamina.archive.packing import Packing
from lamina.content.directory import BlobStore
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument, ImageNotFound
from lamina.images.store import ImageStore, KeptLayer
from lamina.layers.store import LayerStore
from lamina.metadata.blobs import BlobRow
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer.ends.api import Document, Unjudged
from lamina.values.digest import BlobDigest, ChainID, DiffID, ImageID, chain_ids
from lamina.values.events import LayerProgress, Sink
from lamina.values.reference import Reference


def _nowhere(_digest: BlobDigest) -> bool:
    return False


@contextmanager
def content_of(
    image: ImageID,
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
    *,
    has: Callable[[BlobDigest], bool] = _nowhere,
    packing: Packing | None = None,
) -> Iterator["StoredSource"]:
    """The content of an image: under the manifest it has, else under one that is made and kept.

    What it goes to may have (`has`) a blob that is here no more. With a `packing` the manifest is
    a new one, and not kept beside one that the image came with. Raises `ImageNotFound`,
    `BadDocument` or `StorageError`. When the block raises, nothing new is kept.
    """
    config = images.config(image)
    with images.all_or_nothing():
        _hold(image, config, layers)
        came_with = images.row(image).row.manifest
        manifest = _manifest_for(has, image, config, images, layers, events, packing)
        if str(manifest.config.digest) != image:
            raise BadDocument("the image's manifest names another config than the image has")
        yield StoredSource(manifest, images.blobs)
        if packing is None or came_with is None:
            _remember(image, config, manifest, images)
    layers.barrier()


def store_annotated(
    config: ImageConfig,
    names: tuple[Reference, ...],
    annotations: Mapping[str, str],
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
) -> bool:
    """Store an image whose layers are here under a manifest with these annotations, or with none.

    Its layers' blobs are made and kept as for a push; one that the image had before is replaced.
    Gives whether anything was to be done. Raises `ImageNotFound` where a layer has gone, or a
    `StorageError`; nothing new is kept then.
    """
    if images.is_annotated(config.id) and _is_so(config.id, names, annotations, images):
        return False
    with images.all_or_nothing():
        _hold(config.id, config, layers)
        manifest = _made(config, images, layers, events, annotations=annotations)
        images.create(
            config,
            names,
            manifest=(manifest.raw, manifest.media_type),
            kept=_kept(config, manifest, images),
            annotated=bool(annotations),
        )
    return True


def _is_so(
    image: ImageID,
    names: tuple[Reference, ...],
    annotations: Mapping[str, str],
    images: ImageStore,
) -> bool:
    """Whether an image has these annotations and names already."""
    kept = images.manifest(image)
    found = manifests.parse(*kept) if kept is not None else None
    if not isinstance(found, Manifest) or manifests.annotations_of(found) != annotations:
        return False
    return all(images.pointed_at(str(name.with_default_tag())) == image for name in names)


class StoredSource(Unjudged):
    """A manifest whose blobs are all in a store."""

    def __init__(self, manifest: Manifest, blobs: BlobStore) -> None:
        self.layers = manifest.layers
        self._manifest = manifest
        self._blobs = blobs

    def top(self) -> Document:
        """The manifest."""
        return Document.of(self._manifest.raw, self._manifest.media_type)

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the image has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A blob of the store."""
        return self._blobs.open(blob.digest)


def _hold(image: ImageID, config: ImageConfig, layers: LayerStore) -> None:
    """Keep an image's layers from being collected; raises `ImageNotFound` when they are gone."""
    chains = chain_ids(config.diff_ids)
    if chains and not layers.hold(chains[-1]):
        raise ImageNotFound(f"the image {image.short} was removed just now")


def _manifest_for(
    has: Callable[[BlobDigest], bool],
    image: ImageID,
    config: ImageConfig,
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
    packing: Packing | None = None,
) -> Manifest:
    """The manifest that the image has, if all it names is here or (`has`) there; else a new one.

    The layers that a new one names are made and kept here. With a `packing` it is always new.
    """
    kept = images.manifest(image)
    found = manifests.parse(*kept) if kept is not None else None
    if not isinstance(found, Manifest):
        return _made(config, images, layers, events, packing)
    if packing is None and all(
        images.hold_blob(each.digest, each.size) or has(each.digest) for each in found.layers
    ):
        return found
    return _made(config, images, layers, events, packing, manifests.annotations_of(found))


def _made(
    config: ImageConfig,
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
    packing: Packing | None = None,
    annotations: Mapping[str, str] = manifests.NO_ANNOTATIONS,
) -> Manifest:
    """A new manifest, and each layer's blob that it names kept here."""
    chains = chain_ids(config.diff_ids)
    rows = [
        _compressed(diff_id, chain, images, layers, events, packing)
        for diff_id, chain in zip(config.diff_ids, chains, strict=True)
    ]
    described = tuple(Descriptor.of(row.media_type, row.digest, row.size) for row in rows)
    about = Descriptor.of(mediatypes.OCI_CONFIG, BlobDigest(config.id), len(config.raw))
    raw = manifests.build(about, described, annotations)
    return Manifest(raw, mediatypes.OCI_MANIFEST, about, described)


def _compressed(
    diff_id: DiffID,
    chain: ChainID,
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
    packing: Packing | None,
) -> BlobRow:
    """A layer's blob that an OCI manifest may name; made and kept if there is none."""
    kept = kept_blob(diff_id, images, packing)
    if kept is not None:
        return kept
    packing = packing or Packing()
    events(LayerProgress(diff_id.short, "compressing", 0, 0))
    with images.blobs.writer(images.root.lease) as writer:
        with packing.writer(writer.write) as write:
            layers.export(chain, write)
        row = BlobRow(writer.digest, writer.size, mediatypes.layer(packing.kind), diff_id)
        images.announce_blob(row)
        writer.place()
    events(LayerProgress(diff_id.short, "compressed", row.size, row.size))
    images.vouch(row)
    return row


def kept_blob(diff_id: DiffID, images: ImageStore, packing: Packing | None) -> BlobRow | None:
    """A blob of a layer that is here, kept from now on, and may be sent as it is."""
    for row in images.compressed(diff_id):
        kind = _oci_kind(row.media_type)
        if _is_as_wanted(kind, packing) and images.hold_blob(row.digest, row.size):
            return row._replace(media_type=kind)
    return None


def _is_as_wanted(kind: str, packing: Packing | None) -> bool:
    """Whether a blob of that kind may be sent; what level made it is not known."""
    if packing is None:
        return bool(kind)
    return packing.level is None and kind == mediatypes.layer(packing.kind)


def _oci_kind(media_type: str) -> str:
    """What OCI calls a layer of that type; "" for what is not to be sent."""
    if media_type in (mediatypes.OCI_LAYER_GZIP, mediatypes.DOCKER_LAYER_GZIP):
        return mediatypes.OCI_LAYER_GZIP
    return media_type if media_type == mediatypes.OCI_LAYER_ZSTD else ""


def _remember(image: ImageID, config: ImageConfig, manifest: Manifest, images: ImageStore) -> None:
    """The image has this manifest from now on, and needs the blobs that it names."""
    kept = _kept(config, manifest, images)
    images.note_manifest(image, (manifest.raw, manifest.media_type), kept)


def _kept(config: ImageConfig, manifest: Manifest, images: ImageStore) -> tuple[KeptLayer, ...]:
    """The blobs of a manifest that are here, and were looked into."""
    pairs = zip(manifest.layers, config.diff_ids, strict=True)
    return tuple(
        KeptLayer(each.digest, each.size, each.media_type, diff_id)
        for each, diff_id in pairs
        if images.is_known(each.digest, diff_id)
    )
