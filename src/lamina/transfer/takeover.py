"""Images of another engine's store into this one: planned first, then done.

A layer that is here is not even opened, so that a second run, or one after a kill, goes on where
the first one stopped. Knows no engine: a foreign store gives images that travel as any other.
"""

from collections.abc import Iterable
from typing import NamedTuple

from lamina.errors import ImageNotFound
from lamina.foreign.api import ForeignImage, ForeignStore
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.transfer.load import Loaded, load_one
from lamina.values.digest import chain_ids
from lamina.values.events import Sink, ignore

_LOCAL, _LATEST = "localhost/", ":latest"  # what podman and docker put around a short name


class Planned(NamedTuple):
    """One image to be taken over: of its `layers`, so many are `here` already."""

    source: ForeignImage
    layers: int
    here: int
    known: bool

    @property
    def reason(self) -> str:
        """What is to be done and why, in a few words."""
        if self.known:
            return "here already, only named"
        if self.here == self.layers:
            return "its layers are here"
        return f"{self.layers - self.here} of {self.layers} layers to take"


def plan(
    store: ForeignStore, wanted: Iterable[str], images: ImageStore, layers: LayerStore
) -> tuple[Planned, ...]:
    """What taking over the images called `wanted` (all, for none) needs; nothing is written.

    Raises `ImageNotFound` for a name or an ID that the store does not have.
    """
    found = sorted(store.images(), key=_order)
    chosen = _chosen(found, list(wanted), store.title)
    here = {layer.chain_id for layer in layers.all()}
    known = {named.row.id for named in images.all()}
    return tuple(
        Planned(
            each,
            len(each.image.layers),
            len(here.intersection(chain_ids(each.image.config.diff_ids))),
            each.image.config.id in known,
        )
        for each in chosen
    )


def _order(each: ForeignImage) -> tuple[list[str], str]:
    return [name.familiar for name in each.image.names], each.image.config.id


def _chosen(found: list[ForeignImage], wanted: list[str], title: str) -> list[ForeignImage]:
    if not wanted:
        return found
    chosen: dict[str, ForeignImage] = {}
    for text in wanted:
        matching = [each for each in found if _is_called(each, text)]
        if not matching:
            raise ImageNotFound(f"{title} has no image {text}")
        chosen.update({each.image.config.id: each for each in matching})
    return list(chosen.values())


def find(store: ForeignStore, text: str) -> ForeignImage:
    """The image that a name or an ID means; raises `ImageNotFound`, also for several."""
    found = _chosen(sorted(store.images(), key=_order), [text], store.title)
    if len(found) > 1:
        raise ImageNotFound(f"{store.title} has several images {text}: give more of the ID")
    return found[0]


def _is_called(each: ForeignImage, text: str) -> bool:
    if each.image.config.id.removeprefix("sha256:").startswith(text.removeprefix("sha256:")):
        return True
    spellings = {f"{prefix}{text}{suffix}" for prefix in ("", _LOCAL) for suffix in ("", _LATEST)}
    return any(spellings & {str(name), name.familiar} for name in each.image.names)


def take_over(
    planned: Iterable[Planned], images: ImageStore, layers: LayerStore, events: Sink = ignore
) -> list[Loaded]:
    """Carry out a plan, every layer verified by its diff ID; ends with one barrier.

    Raises `DigestMismatch` or `StoreDamaged` for a layer whose files are no longer those that
    the engine wrote; what came before it stays.
    """
    loaded = [load_one(each.source.image, images, layers, events) for each in planned]
    layers.barrier()
    return loaded
