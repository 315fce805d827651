"""`push`: an image of the store to a registry, which is sent nothing that it has.

An image that came with a manifest leaves with it, bit for bit, so its digest stays. A layer that
was made here is compressed once, the same on every machine, and kept for the next push.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.packing import Packing
from lamina.content.directory import BlobStore
from lamina.errors import BadDocument, ImageNotFound, RegistryError, StorageError
from lamina.images.store import ImageStore, KeptLayer
from lamina.layers.store import LayerStore
from lamina.metadata.blobs import BlobRow
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer.telling import one_at_a_time
from lamina.values.digest import BlobDigest, ChainID, DiffID, Digest, ImageID, chain_ids
from lamina.values.events import LayerProgress, Sink, ignore
from lamina.values.reference import Reference

if TYPE_CHECKING:  # what makes an image's manifest need not load what speaks HTTP
    from lamina.registry.repository import Repository

_AT_ONCE = 5  # docker's max-concurrent-uploads


class Pushed(NamedTuple):
    """What a registry has now: the manifest's digest and its size in bytes."""

    digest: Digest
    size: int


def push(
    target: "Repository",
    name: Reference,
    image: ImageID,
    images: ImageStore,
    layers: LayerStore,
    events: Sink = ignore,
    packing: Packing | None = None,
) -> Pushed:
    """Push an image under the tag of `name`; raises `RegistryError` or `StorageError`.

    With a `packing` every layer is compressed so, and the manifest made anew; else it keeps what
    it came with. What it came with stays its own.
    """
    config = images.config(image)
    with images.all_or_nothing():
        hold_image(image, config, layers)
        had = images.row(image).row.manifest
        manifest = manifest_for(target.has, image, config, images, layers, events, packing)
        blobs = {each.digest: each for each in manifest.layers}
        sources = {each: images.repositories_of(each, name.domain) for each in blobs}
        uploads = _Uploads(target, images.blobs, sources, one_at_a_time(events))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lamina-push") as pool:
            try:
                list(pool.map(uploads.send, blobs.values()))
            except BaseException as error:
                uploads.stop(error)  # the others would be sent to their end
                raise
        uploads.send_document(manifest.config, config.raw)
        digest = target.put_manifest(manifest.raw, manifest.media_type, name.tag or "latest")
        if packing is None or had is None:
            remember_manifest(image, config, manifest, images)
    layers.barrier()
    return Pushed(digest, len(manifest.raw))


def hold_image(image: ImageID, config: ImageConfig, layers: LayerStore) -> None:
    """Keep an image's layers from being collected; raises `ImageNotFound` when they are gone."""
    chains = chain_ids(config.diff_ids)
    if chains and not layers.hold(chains[-1]):
        raise ImageNotFound(f"the image {image.short} was removed just now")


def manifest_for(
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
    if kept is not None and packing is None:
        found = manifests.parse(*kept)
        if isinstance(found, Manifest) and all(
            images.hold_blob(each.digest, each.size) or has(each.digest) for each in found.layers
        ):
            return found
    chains = chain_ids(config.diff_ids)
    rows = [
        _compressed(diff_id, chain, images, layers, events, packing)
        for diff_id, chain in zip(config.diff_ids, chains, strict=True)
    ]
    described = tuple(Descriptor.of(row.media_type, row.digest, row.size) for row in rows)
    about = Descriptor.of(mediatypes.OCI_CONFIG, BlobDigest(image), len(config.raw))
    raw = manifests.build(about, described)
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
    for row in images.compressed(diff_id):
        kind = _oci_kind(row.media_type)
        if _is_as_wanted(kind, packing) and images.hold_blob(row.digest, row.size):
            return row._replace(media_type=kind)
    packing = packing or Packing()
    events(LayerProgress(diff_id.short, "compressing", 0, 0))
    with images.blobs.writer(images.root.lease) as writer:
        with packing.writer(writer.write) as write:
            layers.export(chain, write)
        row = BlobRow(writer.digest, writer.size, mediatypes.layer(packing.kind), diff_id)
        images.announce_blob(row)
        writer.place()
    images.vouch(row)
    return row


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


def remember_manifest(
    image: ImageID, config: ImageConfig, manifest: Manifest, images: ImageStore
) -> None:
    """The image has this manifest from now on, and needs the blobs that it names."""
    pairs = zip(manifest.layers, config.diff_ids, strict=True)
    kept = tuple(
        KeptLayer(each.digest, each.size, each.media_type, diff_id)
        for each, diff_id in pairs
        if images.is_known(each.digest, diff_id)
    )
    images.note_manifest(image, (manifest.raw, manifest.media_type), kept)


class _Uploads:
    """Sends blobs to one repository; used by several threads."""

    def __init__(
        self,
        target: "Repository",
        blobs: BlobStore,
        sources: dict[BlobDigest, list[str]],
        events: Sink,
    ) -> None:
        self._target = target
        self._blobs = blobs
        self._sources = sources
        self._events = events
        self._failure: BaseException | None = None

    def stop(self, error: BaseException) -> None:
        """Send nothing more: the push has failed, or is not wanted any longer."""
        self._failure = self._failure or error

    def check(self) -> None:
        """Raise when nothing more is to be sent."""
        if self._failure is not None:
            raise StorageError("the push was given up") from self._failure

    def send(self, blob: Descriptor) -> None:
        """Have a layer's blob there."""
        name = blob.digest.short
        if self._target.has(blob.digest):
            self._events(LayerProgress(name, "layer already exists", blob.size, blob.size))
            return
        place = None
        for path in self._sources[blob.digest]:
            if path != self._target.path:
                try:
                    place = self._target.mount(blob.digest, path)
                except RegistryError:
                    break  # it was only named so here, or is not ours to take from: send it
                if place is None:
                    self._events(LayerProgress(name, f"mounted from {path}", 0, 0))
                    return
                break
        self._target.upload(blob.digest, blob.size, self._opener(blob, name), place)
        self._events(LayerProgress(name, "pushed", blob.size, blob.size))

    def _opener(self, blob: Descriptor, name: str) -> Callable[[], "_Told"]:
        return lambda: _Told(self._blobs, blob, name, self._events, self.check)

    def send_document(self, about: Descriptor, raw: bytes) -> None:
        """Have the config there."""
        if BlobDigest.of(raw) != about.digest or len(raw) != about.size:
            raise BadDocument("the image's manifest names another config than the image has")
        if not self._target.has(about.digest):
            self._target.upload(about.digest, about.size, lambda: BytesIO(raw))


class _Told:
    """A blob's bytes; says how many were read."""

    def __init__(
        self,
        blobs: BlobStore,
        blob: Descriptor,
        name: str,
        events: Sink,
        check: Callable[[], None],
    ) -> None:
        self._check = check
        self._blob = blobs.open(blob.digest)
        self._size = blob.size
        self._name = name
        self._events = events
        self._at = 0

    def read(self, size: int, /) -> bytes:
        self._check()
        data = self._blob.read(size)
        self._at += len(data)
        if data:
            self._events(LayerProgress(self._name, "pushing", self._at, self._size))
        else:
            self._blob.close()
        return data
