"""Images, shaped as docker-py's: build, get, list, load, import, tag, save, remove, prune."""

import time
from typing import TYPE_CHECKING, NamedTuple

from lamina.engine.image import Image, tag_reference
from lamina.engine.imagebuilding import ImageBuilding
from lamina.engine.imagemoving import ImageMoving, LoadedImage, PulledImage
from lamina.engine.inside import Inside
from lamina.errors import ImageNotFound, InvalidReference
from lamina.images.store import Removed
from lamina.values.events import Sink

if TYPE_CHECKING:  # what builds and what speaks to registries is loaded by what does
    from lamina.archive.entry import Write
    from lamina.engine.registries import Registries
    from lamina.engine.slimming import Slimmed
    from lamina.values.narrowing import Narrowing


class Pruned(NamedTuple):
    """What a prune took away, and the bytes it gave back."""

    removed: tuple[Removed, ...]
    size: int


class Images(ImageBuilding, ImageMoving):
    """The images of a store."""

    def get(self, name: str) -> Image:
        """The image of that name, ID or digest; raises `ImageNotFound`."""
        return Image(self._store, self._images.row(self._images.resolve(name)))

    def look(
        self,
        name: str,
        *,
        platform: str | None = None,
        registries: "Registries | None" = None,
        events: Sink | None = None,
    ) -> Inside:
        """An image to look into: of the store, else where `copy` would take it from.

        What is elsewhere (`docker-archive:FILE`, `docker://NAME`, ...) is read once and not
        unpacked; `platform` and `registries` are as for `copy`. Raises `ImageNotFound`,
        `BadInput`, `RegistryError` or `StorageError`.
        """
        here = self._here(name)
        if here is not None:
            return here
        from lamina.engine.transports import Transports

        transports = Transports(self._store, registries, None)
        return transports.look(name, platform, events or self._store.sink)

    def read(
        self,
        name: str,
        *paths: str,
        out: "Write",
        platform: str | None = None,
        registries: "Registries | None" = None,
        events: Sink | None = None,
    ) -> None:
        """Write what files of an image hold, one after the other, wherever it lies as for `look`.

        Of an image elsewhere the layers are read from the topmost down, and no more of them than
        tell where the files are; nothing is given out before it is verified. Raises
        `PathNotFound`, `UsageError` for what is no file, and what `look` raises.
        """
        here = self._here(name)
        if here is not None:
            for path in paths:
                here.read(path, out)
            return
        from lamina.engine.transports import Transports

        transports = Transports(self._store, registries, None)
        transports.read(name, paths, platform, events or self._store.sink, out)

    def _here(self, name: str) -> Image | None:
        """The image of the store; None for what is elsewhere. Raises `ImageNotFound`."""
        from lamina.transfer.notation import names_end

        try:
            return self.get(name)
        except (ImageNotFound, InvalidReference):
            if not names_end(name):
                raise
            return None

    def squash(self, image: Image, *, first: int = 1, name: str | None = None) -> Image:
        """An image with the same tree, whose layers from number `first` (from 1) on are one.

        Raises `UsageError`, `InvalidReference` or `StorageError`.
        """
        from lamina.engine.squashing import squashed

        names = (tag_reference(name),) if name else ()
        made = squashed(self._store, image.id, image.layers, image.tree(), first - 1, names)
        return Image(self._store, self._images.row(made))

    def slim(self, image: Image, *, first: int | None = None, name: str | None = None) -> "Slimmed":
        """An image with the same tree, whose layers carry nothing hidden.

        Layers that another image has stay, so that they stay shared; with `first` (from 1) those
        below that number do instead, and no others. Raises `UsageError`, `InvalidReference` or
        `StorageError`.
        """
        from lamina.engine.slimming import slimmed

        names = (tag_reference(name),) if name else ()
        return slimmed(self._store, image, first - 1 if first is not None else None, names)

    def tag(self, source: str, target: str) -> None:
        """Let the name `target` point at the image `source`."""
        self._images.tag(self._images.resolve(source), tag_reference(target))

    def remove(self, name: str, *, force: bool = False) -> list[Removed]:
        """What `rmi` does; gives what was untagged and deleted. Raises `InUse`."""
        return self._images.remove(name, force=force)

    def prune(self, *, unused: bool = False, only: "Narrowing | None" = None) -> Pruned:
        """Remove the images without names, or with `unused` all that no container uses.

        Or `only` some of these.
        """
        from lamina.layers import gc
        from lamina.metadata import containers

        gc.expire_ingests(self._store.layers.root, time.time() + 1)
        with self._store.layers.root.database.read() as db:
            used = {row.image_id for row in containers.all_rows(db)}
        doomed = [
            image
            for image in self.list()
            if image.id not in used
            and (unused or not image.names)
            and (only is None or only.admits(image.created, image.labels))
        ]
        before = sum(layer.size for layer in self._store.layers.all())
        removed: list[Removed] = []
        for image in doomed:
            deleted = self._images.delete(image.id, image.names)
            if deleted is not None:  # else it got or lost a name just now
                removed += [*(Removed("Untagged", name) for name in image.tags), *deleted]
        after = sum(layer.size for layer in self._store.layers.all())
        return Pruned(tuple(removed), before - after)

    def list(self, name: str | None = None, *, dangling: bool | None = None) -> list[Image]:
        """The images, newest first; those that `name` (or docker's pattern) means, named or not.

        Raises `InvalidReference` for a name that is neither.
        """
        found = [Image(self._store, named) for named in self._images.all()]
        if dangling is not None:
            found = [image for image in found if (not image.names) is dangling]
        if name is not None:
            from lamina.values.namepattern import meant

            found = [image for image in found if meant(image.names, name)]
        return found


__all__ = ["Images", "LoadedImage", "Pruned", "PulledImage"]
