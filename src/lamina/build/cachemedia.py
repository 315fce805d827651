"""A build cache read from a medium that images travel by: an OCI manifest whose config is the
cache's own document and whose layers are those that it holds; or the config of an image that was
built so.

Reads by the ends of a copy. Knows no registry and no directory.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from lamina.build.imported import Opened, Remote
from lamina.build.portable import MEDIA_TYPE, linked, parse
from lamina.build.record import Blob, Link, Portable
from lamina.errors import BadDocument
from lamina.images.api import BlobFacts, TravellingLayer
from lamina.images.edit import BUILD_CACHE
from lamina.layers.store import LayerStore
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Manifest
from lamina.transfer import graph
from lamina.transfer.ends.api import Source
from lamina.transfer.ends.travelling import small, verified
from lamina.transfer.laying import load_layers
from lamina.values.digest import BlobDigest, ChainID, DiffID, chain_ids
from lamina.values.events import Sink


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
    mounts = {key: mount for one in each for key, mount in one.known.mounts.items()}
    links = {chain: link for one in each for chain, link in one.known.links.items()}
    blobs = {digest: blob for one in each for digest, blob in one.blobs.items()}
    return Opened(Portable(records, links, mounts), blobs, partial(verified, source))


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
    coming = [travelling(each.diff_id, each.blob) for each in missing if each.blob is not None]
    load_layers(coming, layers, events, below)


def travelling(diff_id: DiffID, blob: Blob) -> TravellingLayer:
    """A layer that another cache has."""
    facts = BlobFacts(blob.about.digest, blob.about.size, blob.about.media_type)
    return TravellingLayer(diff_id, blob.open, facts)
