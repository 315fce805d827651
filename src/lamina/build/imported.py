"""Caches that others made, asked after the store's own; their layers come when one is needed.

A step that is known there counts as done, by its chain alone. Only who needs a file of that chain
has its layers brought, each held against its digest and its diff ID. When they are not to be had
after all, `NotBrought` ends the attempt: the build begins again and believes less.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina.build.api import Cache, Held, Layers
from lamina.build.record import Blob, Packed, Portable, Record
from lamina.build.statcache import StatCache
from lamina.build.stop import NotBrought, Stop, Stopped
from lamina.errors import LaminaError
from lamina.fs.faults import crash_point
from lamina.fs.tree import TreeView
from lamina.layers.kinds import Source
from lamina.layers.layer import Layer
from lamina.spec.manifest import Descriptor
from lamina.values.digest import BlobDigest, ChainID, DiffID
from lamina.values.events import Sink
from lamina.values.ids import LayerID

if TYPE_CHECKING:
    from lamina.archive.index import IndexReader
    from lamina.content.verified import ByteStream
    from lamina.layers.versions import Version


class Opened(NamedTuple):
    """A cache that was read: what it knows, its blobs, and what opens one, verified."""

    known: Portable
    blobs: Mapping[BlobDigest, Descriptor]
    open: "Callable[[Descriptor], AbstractContextManager[ByteStream]]"


class Import(NamedTuple):
    """A cache to be asked: what people call it, and what reads it when it is first asked."""

    title: str
    read: Callable[[], Opened]


class Remote(NamedTuple):
    """A layer that an imported cache knows; `blob` is None where it knows it by name alone."""

    diff_id: DiffID
    chain_id: ChainID
    below: ChainID | None
    blob: Blob | None
    source: Opened
    size: int = 0


ByCaller = Callable[[Callable[[], None]], None]
"""Has something done by the thread that hears a Ctrl-C."""


class Imports:
    """Some caches, in the order in which they are asked; for any thread.

    One that cannot be read, or did not keep a promise, is asked no more.
    """

    def __init__(self, sources: Sequence[Import], say: Callable[[str], None]) -> None:
        self._waiting = list(sources)
        self._opened: list[tuple[str, Opened]] = []
        self._say = say
        self._lock = threading.Lock()
        self._wary = False
        self._chances = len(sources) + 1

    def __bool__(self) -> bool:
        return bool(self._waiting or self._opened)

    def read(self, by_caller: ByCaller) -> None:
        """Read what was not read yet; one that cannot be is only warned of."""
        with self._lock:
            while self._waiting:
                source = self._waiting.pop(0)
                by_caller(lambda: self._read(source))  # noqa: B023 - it is done when this returns

    def _read(self, source: Import) -> None:
        try:
            self._opened.append((source.title, source.read()))
        except Stopped:
            raise
        except LaminaError as error:
            self._say(f"the cache {source.title} is passed over: {error.brief}")

    def find(self, key: str, is_here: Callable[[ChainID], bool]) -> Record | None:
        """What the first of them says of a key, as long as it can be made true."""
        for _, opened in self._opened:
            record = opened.known.records.get(key)
            if record is None:
                continue
            if record.chain_id is None or self._is_to_be_had(record.chain_id, is_here):
                return record
        return None

    def _is_to_be_had(self, chain: ChainID, is_here: Callable[[ChainID], bool]) -> bool:
        at: ChainID | None = chain
        while at is not None and not is_here(at):
            link = self.layer(at)
            if link is None or (self._wary and link.blob is None):
                return False
            if not self._wary:
                return True
            at = link.below
        return True

    def layer(self, chain: ChainID) -> Remote | None:
        """What is known of the layer on top of a chain; one with its bytes before one without."""
        found = None
        for _, opened in self._opened:
            link = opened.known.links.get(chain)
            if link is None:
                continue
            about = opened.blobs.get(link.blob) if link.blob is not None else None
            blob = Blob(about, partial(opened.open, about)) if about is not None else None
            if found is None or blob is not None:
                found = Remote(link.diff_id, chain, link.below, blob, opened)
            if blob is not None:
                break
        return found

    def mount(self, key: str) -> tuple[str, Packed] | None:
        """What the first of them that has a cache mount is called, and has of it."""
        for title, opened in self._opened:
            found = opened.known.mounts.get(key)
            about = opened.blobs.get(found.blob) if found is not None else None
            if found is not None and about is not None:
                return title, Packed(found, Blob(about, partial(opened.open, about)))
        return None

    def believe_less(self) -> None:
        """From now on a chain is to be had only when all its bytes are."""
        self._wary = True

    def disappointed(self) -> None:
        """Count an attempt that failed for them; after too many none is asked any more."""
        self._chances -= 1
        if self._chances < 0:
            self._waiting, self._opened = [], []

    def drop(self, broken: Sequence[Remote], why: LaminaError) -> None:
        """Ask those no more that these layers were to come from."""
        sources = [each.source for each in broken]
        for title, opened in list(self._opened):
            if any(opened is each for each in sources):
                self._opened.remove((title, opened))
                self._say(f"the cache {title} is given up: {why.brief}")


class ImportedCache:
    """A store's cache, and what imported ones know besides.

    What they know of a step is written down as the store's own once its layer is here.
    """

    def __init__(
        self, own: Cache, imports: Imports, layers: "LazyLayers", by_caller: ByCaller
    ) -> None:
        self._own = own
        self._imports = imports
        self._layers = layers
        self._by_caller = by_caller
        self._pending: dict[str, Record] = {}
        layers.on_brought = self.adopt

    def find(self, key: str) -> Record | None:
        """The store's record, else an imported one."""
        known = self._own.find(key)
        if known is not None:
            return known
        self._imports.read(self._by_caller)
        return self._imports.find(key, self._layers.is_here)

    def record(self, key: str, record: Record) -> None:
        """Remember; of a layer that is still elsewhere, when it is here."""
        if record.chain_id is None or self._layers.is_here(record.chain_id):
            self._own.record(key, record._replace(source=""))
        else:
            self._pending[key] = record

    def adopt(self) -> None:
        """Write down what is known of layers that are here by now."""
        for key, record in list(self._pending.items()):
            assert record.chain_id is not None
            if self._layers.is_here(record.chain_id):
                self._own.record(key, record._replace(source=""))
                del self._pending[key]
        crash_point("cache-adopted")

    def recall(self, key: str) -> Record | None:
        """The store's own note."""
        return self._own.recall(key)

    def note(self, key: str, record: Record) -> None:
        """A note of the store's own."""
        self._own.note(key, record)

    def stat_cache(self, context: str) -> StatCache:
        """The store's own."""
        return self._own.stat_cache(context)

    def single_flight(self, key: str, stop: Stop) -> AbstractContextManager[None]:
        """The store's own."""
        return self._own.single_flight(key, stop)


Lay = Callable[[Sequence[Remote], ChainID | None, Sink], None]
"""Lays layers into the store, over a chain that is here; tells a sink of each."""


class LazyLayers:
    """A store of layers, and those besides that imported caches know."""

    def __init__(
        self, own: Layers, imports: Imports, lay: Lay, events: Sink, by_caller: ByCaller
    ) -> None:
        self._own = own
        self._imports = imports
        self._lay = lay
        self._events = events
        self._by_caller = by_caller
        self._here: set[ChainID] = set()
        self._lock = threading.Lock()
        self.on_brought: Callable[[], None] = _nothing

    def is_here(self, chain: ChainID) -> bool:
        """Whether a chain lies in the store; then it stays while the build goes on."""
        if chain not in self._here:
            if self._own.held(chain) is None:
                return False
            self._here.add(chain)
        return True

    def need(self, chain: ChainID | None) -> None:
        """Have all layers of a chain in the store; raises `NotBrought`."""
        if chain is None or self.is_here(chain):
            return
        with self._lock:
            self._by_caller(lambda: self._bring(chain))

    def _bring(self, chain: ChainID) -> None:
        missing, below = self._missing(chain)
        if not missing:
            return  # a chain that nobody knows is missed by who asks the store
        try:
            self._lay(missing, below, self._events)
        except Stopped:
            raise
        except LaminaError as error:
            self._imports.drop(missing, error)
            raise NotBrought(error.brief) from error
        crash_point("cache-brought")
        self.on_brought()

    def _missing(self, chain: ChainID) -> tuple[list[Remote], ChainID | None]:
        """The layers that are still elsewhere, lowest first, and the chain below them."""
        missing: list[Remote] = []
        at: ChainID | None = chain
        while at is not None and not self.is_here(at):
            layer = self._imports.layer(at)
            if layer is None and not missing:
                return [], None
            if layer is None or layer.blob is None:
                self._imports.believe_less()
                raise NotBrought(f"no imported cache holds the layer {at.short}")
            missing.append(layer)
            at = layer.below
        return missing[::-1], at

    # --- as a store of layers -------------------------------------------------------------

    def held(self, chain_id: ChainID) -> Held | None:
        """The layer on top of a chain, here or elsewhere."""
        return self._own.held(chain_id) or self._imports.layer(chain_id)

    def version(
        self, parent: ChainID | None, before: ChainID
    ) -> "AbstractContextManager[Version | None]":
        """What a new layer is beside an earlier one of it, which is here or not at all."""
        self.need(parent)
        return self._own.version(parent, before)

    def register_entries(
        self, parent: ChainID | None, source: Source, version: "Version | None" = None
    ) -> Layer:
        """Make a layer over `parent`."""
        self.need(parent)
        return self._own.register_entries(parent, source, version)

    def create_rw(self, parent: ChainID | None) -> LayerID:
        """Make a read-write layer."""
        self.need(parent)
        return self._own.create_rw(parent)

    def snapshot_rw(self, layer: LayerID, *, clamp: int | None = None) -> Layer | None:
        """What a read-write layer changed."""
        return self._own.snapshot_rw(layer, clamp=clamp)

    def remove_rw(self, layer: LayerID) -> None:
        """Remove a read-write layer."""
        self._own.remove_rw(layer)

    def resolve(self, target: ChainID, /) -> LayerID:
        """The layer on top of a chain."""
        self.need(target)
        return self._own.resolve(target)

    def chain(self, chain_id: ChainID | None) -> tuple[Layer, ...]:
        """Every layer of a chain."""
        self.need(chain_id)
        return self._own.chain(chain_id)

    def index(self, layer: Layer) -> "IndexReader":
        """What is known of a layer's members."""
        return self._own.index(layer)

    def view(self, target: ChainID) -> TreeView:
        """The merged tree of a chain."""
        self.need(target)
        return self._own.view(target)

    def barrier(self) -> None:
        """Make all that is visible survive a power cut."""
        self._own.barrier()

    @property
    def is_durable(self) -> bool:
        """Whether nothing waits for a barrier."""
        return self._own.is_durable


def _nothing() -> None:
    pass
