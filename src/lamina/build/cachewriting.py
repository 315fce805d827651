"""A build cache written to a medium that images travel by (see `lamina.build.cachemedia`).

    layers, cache mounts -> blobs in files that have no name -> an end of a copy

Knows no registry and no directory.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from io import BytesIO

from lamina.archive.entry import Write
from lamina.build.api import MountStore, Used
from lamina.build.cachemedia import travelling
from lamina.build.cachepacking import Packer
from lamina.build.cachewishes import CacheTo
from lamina.build.mountpacking import pack_mounts
from lamina.build.portable import MEDIA_TYPE, dump
from lamina.build.record import Blob, Portable
from lamina.content.verified import ByteStream
from lamina.errors import BadDocument
from lamina.fs.faults import crash_point
from lamina.layers.store import LayerStore
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.manifest import Descriptor
from lamina.transfer import graph
from lamina.transfer.copying import copy
from lamina.transfer.ends.api import Document, Unjudged
from lamina.transfer.ends.api import Sink as End
from lamina.transfer.ends.packing import unpacked
from lamina.transfer.opening import scratch_file
from lamina.values.digest import BlobDigest, ChainID
from lamina.values.events import LayerProgress, Sink

_MOST_BLOBS = 2_000  # of one manifest


def write(
    wish: CacheTo,
    found: Used,
    own: frozenset[ChainID],
    layers: LayerStore,
    mounts: MountStore,
    end: End,
    events: Sink,
) -> None:
    """Have the cache of a build at an end, with the layers and mounts that are wished for.

    `own` are the chains of the result. Raises a `StorageError` or an error of the medium; the end
    shows nothing new then.
    """
    with ExitStack() as files:
        packer = Packer(wish, partial(scratch_file, layers), files)
        fillings = pack_mounts(packer, mounts, found.mounts, events)
        room = _MOST_BLOBS - len(fillings)
        wanted = [chain for chain in found.known.links if wish.everything or chain in own]
        held = _layers(wanted[:room], found, layers, packer, events)
        crash_point("cache-packed")
        known = found.known._replace(mounts={key: each.filling for key, each in fillings.items()})
        content = CacheSource(known, held, [each.blob for each in fillings.values()])
        copy(graph.whole(content), content, end, events)


def _layers(
    wanted: list[ChainID], found: Used, layers: LayerStore, packer: Packer, events: Sink
) -> dict[ChainID, Blob]:
    held: dict[ChainID, Blob] = {}
    for chain in wanted:
        elsewhere = found.elsewhere.get(chain)
        if elsewhere is not None and packer.takes(elsewhere.about):
            held[chain] = elsewhere
            continue
        fill = _filling(chain, found, layers)
        if fill is not None:
            events(LayerProgress(chain.short, "compressing", 0, 0))
            held[chain] = packer.pack(fill)
            events(LayerProgress(chain.short, "compressed", 0, 0))
    return held


def _filling(chain: ChainID, found: Used, layers: LayerStore) -> Callable[[Write], object] | None:
    """What writes a layer's tar, from the store or another cache; None where nobody has it."""
    if layers.held(chain) is not None:
        return partial(layers.export, chain)
    elsewhere = found.elsewhere.get(chain)
    if elsewhere is None:
        return None
    return partial(unpacked, travelling(found.known.links[chain].diff_id, elsewhere))


class CacheSource(Unjudged):
    """A cache as content by digest; `more` are the blobs of its cache mounts."""

    def __init__(
        self, found: Portable, held: Mapping[ChainID, Blob], more: Sequence[Blob] = ()
    ) -> None:
        links = {
            chain: link._replace(blob=held[chain].about.digest) if chain in held else link
            for chain, link in found.links.items()
        }
        self._config = strictjson.dump(dump(found._replace(links=links)))
        digest = BlobDigest.of(self._config)
        about = Descriptor.of(MEDIA_TYPE, digest, len(self._config))
        self._held = {each.about.digest: each for each in (*held.values(), *more)}
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
