"""`push`: an image of the store to a registry, which is sent nothing that it has.

An image that came with a manifest leaves with it, bit for bit, so its digest stays. A layer that
was made here is compressed once, the same on every machine, and kept for the next push.
"""

from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.packing import Packing
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.transfer import graph
from lamina.transfer.copying import copy
from lamina.transfer.ends.remote import RegistrySink
from lamina.transfer.ends.stored import content_of
from lamina.values.digest import Digest, ImageID
from lamina.values.events import Sink, ignore
from lamina.values.reference import Reference

if TYPE_CHECKING:
    from lamina.registry.repository import Repository


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
    wanted = content_of(image, images, layers, events, has=target.has, packing=packing)
    with wanted as content:
        found = graph.whole(content)
        known = {
            blob.digest: images.repositories_of(blob.digest, name.domain) for blob in content.layers
        }
        copy(found, content, RegistrySink(target, name, known), events)
    return Pushed(found.top.digest, len(found.top.raw))
