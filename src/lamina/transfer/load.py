"""Images from archives and layouts into the store.

Nothing of an image is visible before every layer was verified against its diff ID; a layer that
is here is not even opened.
"""

import hashlib
from typing import NamedTuple

from lamina.archive.compress import open_decompressed
from lamina.content.verified import ByteStream
from lamina.errors import BadArchive, DigestMismatch
from lamina.images import dockerarchive, ocilayout
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.images.platforms import UNFIT, rank_of
from lamina.images.store import ImageStore, KeptLayer
from lamina.layers.store import LayerStore
from lamina.metadata.blobs import BlobRow
from lamina.transfer.laying import load_layers
from lamina.transfer.naming import named
from lamina.transfer.opening import opened_members
from lamina.values.digest import BlobDigest, ImageID
from lamina.values.events import Sink, ignore


class Loaded(NamedTuple):
    """One image that is here now; `names` are familiar, `replaced` those that pointed elsewhere."""

    image: ImageID
    names: tuple[str, ...]
    replaced: tuple[str, ...]


def load(
    source: str | ByteStream,
    images: ImageStore,
    layers: LayerStore,
    *,
    platform: tuple[str, ...],
    only: bool = False,
    events: Sink = ignore,
) -> list[Loaded]:
    """Load every image of an archive (a path or a stream, compressed or not) or a layout.

    Of several with one name that for `platform` is taken; with `only`, none for any other.
    Raises `BadInput` or `StorageError`; nothing of the offending image is left then. Ends with
    one barrier.
    """
    with named(source):
        with opened_members(source, layers) as members:
            found = _fitting(_images(members, platform), platform if only else None)
            loaded = [load_one(image, images, layers, events) for image in found]
        if not loaded:
            raise BadArchive("the archive holds no image")
    layers.barrier()
    return loaded


def _fitting(
    found: list[TravellingImage], platform: tuple[str, ...] | None
) -> list[TravellingImage]:
    if platform is None or not found:
        return found
    said = [(each.config.os, each.config.architecture, each.config.variant) for each in found]
    fitting = [each for each, at in zip(found, said, strict=True) if rank_of(at, platform) < UNFIT]
    if not fitting:
        there = sorted({"/".join(filter(None, each)) for each in said})[:8]
        raise BadArchive(
            f"the archive has no image for {'/'.join(filter(None, platform))}",
            hint=f"it has {', '.join(there)}",
        )
    return fitting


def _images(members: Members, platform: tuple[str, ...]) -> list[TravellingImage]:
    if dockerarchive.is_archive(members):
        return list(dockerarchive.images(members))
    if ocilayout.is_layout(members):
        return list(ocilayout.images(members, platform))
    dockerarchive.refuse_unknown(members)
    return []


def load_one(
    image: TravellingImage, images: ImageStore, layers: LayerStore, events: Sink
) -> Loaded:
    """Take one image in, whatever it travelled in; nothing of it is left when that fails.

    Raises `BadInput` or `StorageError`. Durable only after `layers.barrier`.
    """
    before = {name: images.pointed_at(str(name)) for name in image.names}
    with images.all_or_nothing():
        read = load_layers(image.layers, layers, events)
        kept = _keep_blobs(image, images, layers, read)
        made = images.create(
            image.config, image.names, manifest=image.manifest, kept=kept, told="load"
        )
    replaced = [name for name, old in before.items() if old is not None and old != made]
    return Loaded(
        made,
        tuple(name.familiar for name in image.names),
        tuple(name.familiar for name in replaced),
    )


def _keep_blobs(
    image: TravellingImage, images: ImageStore, layers: LayerStore, read: frozenset[BlobDigest]
) -> tuple[KeptLayer, ...]:
    """Keep compressed layers as they came, so that a later push has the same digests.

    Raises `DigestMismatch` for one that is not the layer that the config names.
    """
    if image.manifest is None:
        return ()
    kept = []
    for layer in image.layers:
        if layer.blob is None or str(layer.blob.digest) == str(layer.diff_id):
            continue
        facts = layer.blob
        if facts.digest not in read and not images.is_known(facts.digest, layer.diff_id):
            _read_through(layer)
        images.announce_blob(BlobRow(facts.digest, facts.size, facts.media_type, layer.diff_id))
        if not images.blobs.has(facts.digest):
            with layer.open() as stream:
                images.blobs.put(stream, owner=layers.root.lease, expect=facts.digest)
        kept.append(KeptLayer(facts.digest, facts.size, facts.media_type, layer.diff_id))
    return tuple(kept)


def _read_through(layer: TravellingLayer) -> None:
    """Read a layer that is here already, to see that its blob is that layer."""
    counted = hashlib.sha256()
    with layer.open() as stream, open_decompressed(stream, counted.update) as plain:
        plain.drain()
    found = f"sha256:{counted.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")
