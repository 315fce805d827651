"""What a registry has under a name, without pulling it: its manifest's place and its platforms."""

from typing import TYPE_CHECKING, NamedTuple

from lamina.spec import manifest as manifests
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor, Index
from lamina.transfer.pull import document_of
from lamina.values.digest import BlobDigest
from lamina.values.events import Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:
    from lamina.engine.registries import Registries


class Described(NamedTuple):
    """The manifest or the index, and for what platforms (os, architecture, variant) it is."""

    descriptor: Descriptor
    platforms: tuple[tuple[str, str, str], ...]


def described(registries: "Registries", name: Reference, events: Sink) -> Described:
    """Raises `ImageNotFound`, `RegistryError` or `BadInput`."""
    place, found, _ = registries.found(name, events)
    document = manifests.parse(found.raw, found.media_type)
    own = Descriptor.of(document.media_type, BlobDigest(found.digest), len(found.raw))
    if isinstance(document, Index):
        told = tuple(each.platform for each in document.manifests if any(each.platform))
        return Described(own, told)
    config = ImageConfig.parse(document_of(place, document.config))
    return Described(own, ((config.os, config.architecture, config.variant),))
