"""A build cache on a medium that images travel by: an OCI manifest whose config is the cache's own
document and whose layers are those that it holds; or the config of an image that was built so.

Reads and writes by the ends of a copy. Knows no registry and no directory.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from io import BytesIO

from lamina.archive.entry import Write
from lamina.archive.packing import Packing
from lamina.build.api import BuildResult, Used
from lamina.build.cachewishes import CacheTo
from lamina.build.imported import Opened, Remote
from lamina.build.portable import MEDIA_TYPE, dump, linked, parse
from lamina.build.record import Blob, Link, Portable
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument
from lamina.fs.faults import crash_point
from lamina.images.api import BlobFacts, TravellingLayer
from lamina.images.edit import BUILD_CACHE
from lamina.layers.store import LayerStore
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Manifest
from lamina.transfer import graph
from lamina.transfer.copying import copy
from lamina.transfer.ends.api import Document, Source, Unjudged
from lamina.transfer.ends.api import Sink as End
from lamina.transfer.ends.packing import pack_layer, unpacked
from lamina.transfer.ends.travelling import small, verified
from lamina.transfer.laying import load_layers
from lamina.transfer.opening import scratch_file
from lamina.values.digest import BlobDigest, ChainID, DiffID, chain_ids
from lamina.values.events import LayerProgress, Sink

_MOST_LAYERS = 2_000  # of one manifest


# --- reading ----------------------------------------------------------------------------


def read(source: Source, platforms: Sequence[tuple[str, ...]], title: str) -> Opened:
    """The cache that a source means: one of its own, or those of an image for these platforms.

    An image that is for some of them alone is read as far. Raises `BadInput` or an error of the
    medium.
    """
    found: dict[bytes, Manifest] = {}
    missing: BadDocument | None = None
    for platform in platforms:
        try:
            manifest = graph.for_platform(source, platform)
        except BadDocument as error:
            missing = missing or error
        else:
            found[manifest.raw] = manifest
    if missing is not None and not found:
        raise missing
    return _united([_opened(source, each, title) for each in found.values()], source)


def _united(each: Sequence[Opened], source: Source) -> Opened:
    records = {key: record for one in each for key, record in one.known.records.items()}
    links = {chain: link for one in each for chain, link in one.known.links.items()}
    blobs = {digest: blob for one in each for digest, blob in one.blobs.items()}
    return Opened(Portable(records, links), blobs, partial(verified, source))


def _opened(source: Source, manifest: Manifest, title: str) -> Opened:
    raw = small(source, manifest.config)
    blobs = {each.digest: each for each in manifest.layers}
    opened = partial(verified, source)
    if manifest.config.media_type == MEDIA_TYPE:
        return Opened(parse(strictjson.parse(raw, "build cache"), title), blobs, opened)
    return Opened(_inline(manifest, raw, title), blobs, opened)


def _inline(manifest: Manifest, raw: bytes, title: str) -> Portable:
    """What an image's own config tells, and the image's layers."""
    if not mediatypes.is_image(manifest.media_type, manifest.config.media_type):
        kind = manifest.config.media_type[:100]
        raise BadDocument(f"this is neither a build cache nor an image, but of type {kind!r}")
    config = ImageConfig.parse(raw)
    if len(config.diff_ids) != len(manifest.layers):
        raise BadDocument("the image's config and its manifest disagree about its layers")
    found = inline_of(config, title)
    blobs = (each.digest for each in manifest.layers)
    return found._replace(links={**found.links, **_links(config, blobs)})


def inline_of(config: ImageConfig, title: str) -> Portable:
    """The cache in an image's config, with the image's layers but no blobs.

    Raises `BadDocument`, also where there is none.
    """
    document = config.document.get(BUILD_CACHE)
    if not isinstance(document, dict):
        raise BadDocument("the image has no build cache inside: build it with --cache-to inline")
    found = parse(document, title)
    return found._replace(links={**found.links, **_links(config, [])})


def _links(config: ImageConfig, blobs: Iterable[BlobDigest]) -> dict[ChainID, Link]:
    """An image's layers by their chains; the blobs, if any, stand in the same order."""
    each_blob = iter(blobs)
    below: ChainID | None = None
    links = []
    for diff_id, chain in zip(config.diff_ids, chain_ids(config.diff_ids), strict=True):
        links.append(Link(diff_id, below, next(each_blob, None)))
        below = chain
    return linked(links)


def lay(layers: LayerStore, missing: Sequence[Remote], below: ChainID | None, events: Sink) -> None:
    """Lay layers of imported caches over a chain; raises what a pull of them would."""
    # nobody asks for what is known by name alone
    coming = [_travelling(each.diff_id, each.blob) for each in missing if each.blob is not None]
    load_layers(coming, layers, events, below)


def _travelling(diff_id: DiffID, blob: Blob) -> TravellingLayer:
    """A layer that another cache has."""
    facts = BlobFacts(blob.about.digest, blob.about.size, blob.about.media_type)
    return TravellingLayer(diff_id, blob.open, facts)


# --- writing ----------------------------------------------------------------------------


def write(wish: CacheTo, result: BuildResult, layers: LayerStore, end: End, events: Sink) -> None:
    """Have the cache of a build at an end, with the layers that are wished for.

    Raises a `StorageError` or an error of the medium; the end shows nothing new then.
    """
    found = result.used
    own = {chain for each in result.images for chain in chain_ids(each.diff_ids)}
    wanted = [chain for chain in found.known.links if wish.everything or chain in own]
    with ExitStack() as files:
        held: dict[ChainID, Blob] = {}
        for chain in wanted[:_MOST_LAYERS]:
            elsewhere = found.elsewhere.get(chain)
            if elsewhere is not None and _is_as_wished(elsewhere.about, wish):
                held[chain] = elsewhere
                continue
            fill = _filling(chain, found, layers)
            if fill is not None:
                events(LayerProgress(chain.short, "compressing", 0, 0))
                held[chain] = _packed(fill, wish.packing, layers, files)
                events(LayerProgress(chain.short, "compressed", 0, 0))
        crash_point("cache-packed")
        content = CacheSource(found.known, held)
        copy(graph.whole(content), content, end, events)


def _is_as_wished(about: Descriptor, wish: CacheTo) -> bool:
    """Whether a layer of another cache may be taken as it is."""
    packing = wish.packing
    if wish.again or (packing is not None and packing.level is not None):
        return False
    return about.media_type == mediatypes.layer(packing.kind if packing is not None else "")


def _filling(chain: ChainID, found: Used, layers: LayerStore) -> Callable[[Write], object] | None:
    """What writes a layer's tar, from the store or another cache; None where nobody has it."""
    if layers.held(chain) is not None:
        return partial(layers.export, chain)
    elsewhere = found.elsewhere.get(chain)
    if elsewhere is None:
        return None
    return partial(unpacked, _travelling(found.known.links[chain].diff_id, elsewhere))


def _packed(
    fill: Callable[[Write], object], packing: Packing | None, layers: LayerStore, files: ExitStack
) -> Blob:
    """A layer as it is to travel, in a file that goes with `files`."""
    file = scratch_file(layers)
    files.callback(os.close, file)
    packed = pack_layer(file, fill, packing)
    return Blob(packed.blob, packed.open)


class CacheSource(Unjudged):
    """A cache as content by digest."""

    def __init__(self, found: Portable, held: Mapping[ChainID, Blob]) -> None:
        links = {
            chain: link._replace(blob=held[chain].about.digest) if chain in held else link
            for chain, link in found.links.items()
        }
        self._config = strictjson.dump(dump(found._replace(links=links)))
        digest = BlobDigest.of(self._config)
        about = Descriptor.of(MEDIA_TYPE, digest, len(self._config))
        self._held = {each.about.digest: each for each in held.values()}
        raw = manifests.build(about, tuple(each.about for each in self._held.values()))
        self._top = Document.of(raw, mediatypes.OCI_MANIFEST)

    def top(self) -> Document:
        """The manifest."""
        return self._top

    def document(self, wanted: Descriptor) -> bytes:
        """There is no index, so there is nothing that one names."""
        raise BadDocument(f"the cache has no document {wanted.digest.short}")

    def open(self, blob: Descriptor) -> AbstractContextManager[ByteStream]:
        """A layer, or the cache's own document."""
        held = self._held.get(blob.digest)
        return held.open() if held is not None else BytesIO(self._config)
