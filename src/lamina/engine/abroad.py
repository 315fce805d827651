"""What lies in another engine's store, for listing and counting; nothing is written there or here.

Needs no store of ours: a machine may have none.
"""

from typing import NamedTuple

from lamina.analyze.sharing import ImageChain, Sharing, sharing
from lamina.foreign.api import ForeignImage
from lamina.foreign.opening import open_foreign
from lamina.values.digest import ChainID, ImageID, chain_ids


class ForeignLayer(NamedTuple):
    """A layer, and what its engine says that it brings, in bytes."""

    chain_id: ChainID
    size: int


class Abroad(NamedTuple):
    """One image of another engine; `created` in seconds since the epoch."""

    id: ImageID
    names: tuple[str, ...]
    created: float
    layers: tuple[ForeignLayer, ...]

    @property
    def size(self) -> int:
        """What all its layers bring."""
        return sum(layer.size for layer in self.layers)


class ForeignUsage(NamedTuple):
    """Every image of a store, newest first; `title` says whose it is."""

    title: str
    images: tuple[Abroad, ...]

    def sharing(self) -> Sharing:
        """Who has what."""
        return sharing([ImageChain(image.id, image.names, image.layers) for image in self.images])


def look(source: str) -> ForeignUsage:
    """What is in the store `docker:DIR` or `containers-storage:DIR`; its documents alone are read.

    Raises `UsageError` for the text, `ForeignStore` when it is no such store, `BadInput` or
    `StorageError`.
    """
    store = open_foreign(source)
    try:
        images = sorted(map(_told, store.images()), key=lambda image: (-image.created, image.id))
        return ForeignUsage(store.title, tuple(images))
    finally:
        store.close()


def _told(each: ForeignImage) -> Abroad:
    config = each.image.config
    chain = zip(chain_ids(config.diff_ids), each.sizes, strict=True)
    return Abroad(
        config.id,
        tuple(str(name) for name in each.image.names),
        config.created_at,
        tuple(ForeignLayer(chain_id, size) for chain_id, size in chain),
    )
