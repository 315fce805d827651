"""The part of `engine.images` that brings images in and takes them out."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina.content.verified import ByteStream
from lamina.engine.image import Image, tag_reference
from lamina.engine.parts import Parts
from lamina.errors import UsageError
from lamina.values.digest import Digest
from lamina.values.events import Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:  # what speaks to registries is loaded by what does
    from lamina.archive.entry import Write
    from lamina.engine.registries import Registries
    from lamina.transfer.copying import Copied
    from lamina.transfer.push import Pushed


class LoadedImage(NamedTuple):
    """An image that `load` brought, the names it came with, and those that pointed elsewhere."""

    image: Image
    names: tuple[str, ...]
    replaced: tuple[str, ...]


class PulledImage(NamedTuple):
    """An image that `pull` brought, its name in full, the digest of what that means there, and
    whether it is new here.
    """

    image: Image
    name: Reference
    digest: Digest
    fresh: bool


class ImageMoving:
    """Moves images into a store and out of it."""

    def __init__(self, store: Parts) -> None:
        self._store = store
        self._images = store.image_store

    def pull(
        self,
        name: str,
        *,
        platform: str | None = None,
        registries: "Registries | None" = None,
        events: Sink | None = None,
    ) -> PulledImage:
        """Pull an image from a registry; `platform` is `os/architecture[/variant]`.

        Raises `ImageNotFound`, `RegistryError` or `BadInput`.
        """
        from lamina.engine.platforms import platform_of
        from lamina.engine.registries import Registries

        reference, pulled = (registries or Registries(self._store)).search(
            name, platform_of(platform), events or self._store.sink
        )
        image = Image(self._store, self._images.row(pulled.image))
        return PulledImage(image, reference, pulled.digest, pulled.fresh)

    def push(
        self,
        name: str,
        *,
        compression: str | None = None,
        compression_level: int | None = None,
        registries: "Registries | None" = None,
        events: Sink | None = None,
    ) -> "Pushed":
        """Push an image to the registry that its name begins with; gives digest and size in bytes.

        It goes as it came; a layer that was made here as gzip. With `compression` (gzip or zstd)
        or a level every layer is compressed so. Raises `UsageError`, `ImageNotFound` or
        `RegistryError`.
        """
        from lamina.archive.packing import Packing
        from lamina.engine.registries import Registries

        reference = Reference.parse(name).with_default_tag()
        packing = None
        if compression is not None or compression_level is not None:
            packing = Packing.checked(compression or "gzip", compression_level)
        place = registries or Registries(self._store)
        return place.push(reference, events or self._store.sink, packing)

    def copy(
        self,
        source: str,
        target: str,
        *,
        platform: str | None = None,
        all_platforms: bool = False,
        sources: "Registries | None" = None,
        targets: "Registries | None" = None,
        events: Sink | None = None,
    ) -> "Copied":
        """Copy an image between two ends, such as `docker://host/name:1` and `oci:folder:name`.

        Nothing is unpacked; what the target has is not sent; blobs and, where the target can hold
        them, manifests stay byte for byte. Of an index the image for `platform` is taken (default:
        this machine's), or with `all_platforms` all of it. Registries are spoken to by `sources`
        and `targets`. `docs/format/transports.md` has the notation. Raises `UsageError`,
        `ImageNotFound`, `BadInput`, `RegistryError` or `StorageError`; the target shows nothing
        new then.
        """
        from lamina.engine.transports import Transports

        transports = Transports(self._store, sources, targets)
        told = events or self._store.sink
        return transports.copy(source, target, platform, all_platforms, told)

    def load(
        self,
        source: str | ByteStream,
        *,
        platform: str | None = None,
        events: Sink | None = None,
    ) -> list[LoadedImage]:
        """Load a docker archive or an OCI layout, from a path or a stream, compressed or not.

        Of several images with one name that for this machine is taken, or only those for
        `platform`. Raises `UsageError`, `BadInput` or `StorageError`.
        """
        from lamina.engine.platforms import platform_of
        from lamina.transfer.load import load

        loaded = load(
            source,
            self._images,
            self._store.layers,
            platform=platform_of(platform),
            only=platform is not None,
            events=events or self._store.sink,
        )
        return [
            LoadedImage(Image(self._store, self._images.row(each.image)), each.names, each.replaced)
            for each in loaded
        ]

    def save(self, names: Sequence[str], out: "Write", *, format: str = "docker") -> None:
        """Write images as one archive: docker's, or (`oci`) an OCI layout with their manifests.

        Raises `ImageNotFound` before the first byte, or `UsageError` for another format.
        """
        from lamina.transfer.save import FORMS, save

        if format not in FORMS:
            raise UsageError(f"no archive has the format {format!r}", hint="it is docker or oci")
        save(list(names), self._images, self._store.layers, out, format)

    def import_(
        self,
        source: str | ByteStream,
        *,
        repository: str | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        created: float | None = None,
        platform: str | None = None,
    ) -> Image:
        """Make an image of a root file system's tar, from a path or a stream.

        `created` is in seconds since the epoch (default: now); `platform` is what the programs
        in it are for, as `linux/arm64` (default: this machine's). Raises `BadArchive`,
        `UsageError`.
        """
        from lamina.engine.platforms import platform_of
        from lamina.transfer.importing import import_root

        names = (tag_reference(repository),) if repository else ()
        image = import_root(
            source,
            self._images,
            self._store.layers,
            names=names,
            platform=platform_of(platform),
            created=time.time() if created is None else created,
            message=message,
            changes=tuple(changes),
        )
        return Image(self._store, self._images.row(image))
