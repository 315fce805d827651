"""`pull`: an image of a registry into the store.

All layers are fetched at once and each is unpacked while it comes, the lowest first. Nothing is
visible before every digest was right; what was fetched before a failure is not fetched again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from lamina.content.directory import BlobStore
from lamina.content.verified import ByteStream, VerifiedReader
from lamina.errors import BadDocument, DigestMismatch
from lamina.images.api import BlobFacts, TravellingImage
from lamina.images.ocilayout import assembled, facts, refuse_unreadable
from lamina.images.platforms import best
from lamina.images.store import ImageStore, KeptLayer
from lamina.layers import gc
from lamina.layers.store import LayerStore
from lamina.registry.repository import Found, Repository
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer.ends.api import Trust
from lamina.transfer.fetching import Fetching, Source
from lamina.transfer.laying import load_layers
from lamina.transfer.telling import one_at_a_time
from lamina.values.digest import BlobDigest, DiffID, Digest, ImageID, chain_ids
from lamina.values.events import Sink, ignore
from lamina.values.reference import Reference

_NESTING = 4
_KEPT_FOR = 24 * 3600.0  # seconds that what was half fetched waits for the next try
_CHUNK = 1 << 20


def _anything(_leading: Sequence[Digest]) -> None:
    pass


class Pulled(NamedTuple):
    """An image that is here now. `digest` is of the document that the name means at the registry,
    `fresh` whether the name meant another image here before, or none.
    """

    image: ImageID
    digest: Digest
    fresh: bool


def pull(
    source: Repository,
    name: Reference,
    images: ImageStore,
    layers: LayerStore,
    *,
    platform: tuple[str, ...],
    under: Reference | None = None,
    trust: Trust = _anything,
    events: Sink = ignore,
) -> Pulled:
    """Pull what `name` (with a tag or a digest) means; the store then has it under that name,
    or under another.

    `source` may be a mirror of the repository in the name. `trust` is asked before anything of
    the image is read, about the documents that lead to it. Raises `ImageNotFound`, `BadInput`,
    `RegistryError` or `StorageError`; nothing of the image is left then but what makes the next
    try shorter. Ends with a barrier.
    """
    gc.expire_ingests(images.root, time.time() - _KEPT_FOR)
    own = under or name
    before = images.pointed_at(str(own))
    found = source.manifest(name.digest if name.digest is not None else name.tag or "latest")
    manifest, leading = _manifest(source, found, platform)
    trust(leading)
    refuse_unreadable(manifest)
    config = ImageConfig.parse(document_of(source, manifest.config))
    with images.all_or_nothing():
        image = _fetched(source, manifest, config, own, images, layers, one_at_a_time(events))
    layers.barrier()
    return Pulled(image, found.digest, before != image)


def _manifest(
    source: Repository, found: Found, platform: tuple[str, ...]
) -> tuple[Manifest, list[Digest]]:
    """The manifest for the platform, and the digests that lead to it, its own as the last."""
    leading: list[Digest] = []
    for _ in range(_NESTING):
        leading.append(found.digest)
        document = manifests.parse(found.raw, found.media_type)
        if isinstance(document, Manifest):
            return _of_image(document), leading
        chosen = best(document, platform, found.digest.short)
        found = source.manifest(chosen.digest)
        if len(found.raw) != chosen.size:
            raise DigestMismatch(f"{chosen.digest} has {len(found.raw)} bytes, not {chosen.size}")
        found = found._replace(media_type=chosen.media_type or found.media_type)
    raise BadDocument("indexes are nested too deep")


def _of_image(manifest: Manifest) -> Manifest:
    if not mediatypes.is_image(manifest.media_type, manifest.config.media_type):
        kind = manifest.config.media_type[:100]
        raise BadDocument(f"this is no container image but something of type {kind!r}")
    return manifest


def document_of(source: Repository, descriptor: Descriptor) -> bytes:
    """A manifest's config, verified; raises `BadInput` or `RegistryError`."""
    if descriptor.size > strictjson.LIMIT:
        raise BadDocument(f"the config {descriptor.digest.short} claims {descriptor.size} bytes")
    with source.blob(descriptor.digest, descriptor.size) as stream:
        verified = VerifiedReader(stream, descriptor.digest, descriptor.size)
        return b"".join(iter(lambda: verified.read(_CHUNK), b""))


def _fetched(
    source: Repository,
    manifest: Manifest,
    config: ImageConfig,
    name: Reference,
    images: ImageStore,
    layers: LayerStore,
    events: Sink,
) -> ImageID:
    wanted = _wanted(manifest, config, images, layers)
    with Fetching(_blobs_of(source), wanted, images, events) as fetching:
        try:
            image = assembled(manifest, config, (name,), _Opening(fetching, images.blobs))
            read = load_layers(image.layers, layers, events)
            fetching.wait()
            kept = _kept(image, images, read)
            # a manifest is worth keeping when each blob it names is known to be its layer
            document = image.manifest if len(kept) == len(image.layers) else None
            made = images.create(config, (name,), manifest=document, kept=kept, told="pull")
            images.end_ingests(fetching.digests)
        except BaseException:
            source.session.give_up()  # no answer is waited for any more
            raise
    return made


def _blobs_of(source: Repository) -> Source:
    return lambda blob, offset: source.blob(blob.digest, blob.size, offset)


def _wanted(
    manifest: Manifest, config: ImageConfig, images: ImageStore, layers: LayerStore
) -> list[tuple[BlobFacts, DiffID]]:
    """The blobs of layers that are not here; those that are here are held from now on."""
    if len(config.diff_ids) != len(manifest.layers):
        return []  # refused when the image is put together
    chains = chain_ids(config.diff_ids)
    return [
        (facts(layer), diff_id)
        for layer, diff_id, chain in zip(manifest.layers, config.diff_ids, chains, strict=True)
        if not layers.hold(chain) and not images.hold_blob(layer.digest, layer.size)
    ]


class _Opening:
    """Opens a layer's blob: as it comes, or as it is here."""

    def __init__(self, fetching: Fetching, blobs: BlobStore) -> None:
        self._fetching = fetching
        self._blobs = blobs

    def __call__(self, layer: Descriptor) -> Callable[[], AbstractContextManager[ByteStream]]:
        return partial(self._open, layer.digest)

    def _open(self, digest: BlobDigest) -> AbstractContextManager[ByteStream]:
        if digest in self._fetching.digests:
            return self._fetching.open(digest)
        return self._blobs.open(digest)


def _kept(
    image: TravellingImage, images: ImageStore, read: frozenset[BlobDigest]
) -> tuple[KeptLayer, ...]:
    """The compressed layers that are here and what they are said to be, held for a push."""
    return tuple(
        KeptLayer(blob.digest, blob.size, blob.media_type, layer.diff_id)
        for layer in image.layers
        if (blob := layer.blob) is not None
        and (blob.digest in read or images.is_known(blob.digest, layer.diff_id))
        and images.hold_blob(blob.digest, blob.size)
    )
