"""What a build knew, written down for a cache of it that others may be given.

A recorder lies around the cache that a build asks; afterwards its records, with the layer on top of
each chain that they name, are a `Portable`. Knows no medium.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lamina.build.api import Cache, CacheWish, Layers, Used, UsedMount
from lamina.build.record import Blob, Link, Portable, Record
from lamina.images.edit import BUILD_CACHE
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, chain_ids

if TYPE_CHECKING:  # a build that asks its own cache alone loads no other
    from lamina.build.imported import Import, Lay, Remote
    from lamina.build.past import Ancestor
    from lamina.build.statcache import StatCache
    from lamina.build.stop import Stop

Elsewhere: TypeAlias = "Callable[[ChainID], Remote | None]"
"""What imported caches know of the layer on top of a chain."""


class Caches(NamedTuple):
    """The caches that a build may ask besides the store's own, and how their layers are laid.

    `ancestors` are images that answer by their history.
    """

    sources: "tuple[Import, ...]"
    lay: "Lay"
    ancestors: "tuple[Ancestor, ...]" = ()


class RecordingCache:
    """A cache that remembers what was found in it or written to it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.used: dict[str, Record] = {}

    def find(self, key: str) -> Record | None:
        """The cache's answer."""
        record = self._cache.find(key)
        if record is not None:
            self.used.setdefault(key, record)
        return record

    def record(self, key: str, record: Record) -> None:
        """Remember."""
        self._cache.record(key, record)
        self.used[key] = record

    def recall(self, key: str) -> Record | None:
        """The cache's note."""
        return self._cache.recall(key)

    def note(self, key: str, record: Record) -> None:
        """Note."""
        self._cache.note(key, record)

    def stat_cache(self, context: str) -> "StatCache":
        """The cache's."""
        return self._cache.stat_cache(context)

    def single_flight(self, key: str, stop: "Stop") -> AbstractContextManager[None]:
        """The cache's."""
        return self._cache.single_flight(key, stop)


def used_of(
    used: Mapping[str, Record],
    mounts: Mapping[str, UsedMount],
    layers: Layers,
    known_elsewhere: Elsewhere,
) -> Used:
    """What others may be given of records; those of layers that are gone are left out."""
    records: dict[str, Record] = {}
    links: dict[ChainID, Link] = {}
    elsewhere: dict[ChainID, Blob] = {}
    for key, record in used.items():
        chain = record.chain_id
        if chain is not None and chain not in links and chain != _below(record):
            remote = known_elsewhere(chain)
            link = _link(record, chain, layers) if remote is None else _known(remote)
            if link is None:
                continue
            links[chain] = link
            if remote is not None and remote.blob is not None:
                elsewhere[chain] = remote.blob
        records[key] = record
    return Used(Portable(records, links), elsewhere, mounts)


def used_here(asked: Mapping[str, CacheWish]) -> Mapping[str, UsedMount]:
    """The cache mounts that a build asked for, of which no other cache is to have anything."""
    return {key: UsedMount(wish, lambda: None) for key, wish in asked.items()}


def united(each: Sequence[Used]) -> Used:
    """What the builds of one image for several platforms used."""
    records = {key: record for used in each for key, record in used.known.records.items()}
    links = {chain: link for used in each for chain, link in used.known.links.items()}
    elsewhere = {chain: blob for used in each for chain, blob in used.elsewhere.items()}
    mounts = {key: mount for used in each for key, mount in used.mounts.items()}
    return Used(Portable(records, links), elsewhere, mounts)


def _known(remote: "Remote") -> Link:
    return Link(remote.diff_id, remote.below, None)


def _link(record: Record, chain: ChainID, layers: Layers) -> Link | None:
    layer, below = layers.held(chain), _below(record)
    if layer is None or ChainID.extend(below, layer.diff_id) != chain:
        return None
    return Link(layer.diff_id, below, None)


def _below(record: Record) -> ChainID | None:
    """The chain that the step of a record stood on, as its inputs tell."""
    facts = json.loads(record.inputs).get("facts", {})
    text = facts.get("parent", "scratch")
    return None if text == "scratch" else ChainID(text)


def with_inline(config: ImageConfig, found: Portable) -> ImageConfig:
    """An image's config that holds the cache of its build; its own layers are not told again."""
    from lamina.build.portable import dump

    own = set(chain_ids(config.diff_ids))
    links = {chain: link for chain, link in found.links.items() if chain not in own}
    return ImageConfig.of({**config.document, BUILD_CACHE: dump(Portable(found.records, links))})
