"""Images, shaped as docker-py's: build, get, list, load, import, tag, save, remove, prune."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina.content.verified import ByteStream
from lamina.engine.image import Image, tag_reference
from lamina.engine.inside import Inside
from lamina.engine.parts import Parts
from lamina.errors import ImageNotFound, InvalidReference, UsageError
from lamina.images.store import Removed
from lamina.layers import gc
from lamina.metadata import containers as container_rows
from lamina.values.digest import Digest
from lamina.values.events import Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:  # what builds and what speaks to registries is loaded by what does
    from lamina.archive.entry import Write
    from lamina.build import BuildRequest, BuildResult
    from lamina.build.api import Debug
    from lamina.build.secrets import Secret
    from lamina.build.stage import Stage
    from lamina.dockerfile.lint import Checked
    from lamina.engine.registries import Registries
    from lamina.engine.slimming import Slimmed
    from lamina.transfer.copying import Copied
    from lamina.transfer.push import Pushed


class Pruned(NamedTuple):
    """What a prune took away, and the bytes it gave back."""

    removed: tuple[Removed, ...]
    size: int


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


class Images:
    """The images of a store."""

    def __init__(self, store: Parts) -> None:
        self._store = store
        self._images = store.image_store

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
        return transports.look(name, platform, events or self._store.events)

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
        transports.read(name, paths, platform, events or self._store.events, out)

    def _here(self, name: str) -> Image | None:
        """The image of the store; None for what is elsewhere. Raises `ImageNotFound`."""
        from lamina.transfer.notation import names_end

        try:
            return self.get(name)
        except (ImageNotFound, InvalidReference):
            if not names_end(name):
                raise
            return None

    def build(
        self,
        context: str | None = ".",
        *,
        stage: "Stage | None" = None,
        dockerfile: str | None = None,
        dockerfile_text: bytes | None = None,
        tags: Sequence[str] = (),
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        labels: Mapping[str, str] | None = None,
        network: str = "default",
        no_cache: bool = False,
        source_date_epoch: int | None = None,
        pull: str = "missing",
        verify_tls: bool = True,
        secrets: "Mapping[str, Secret] | None" = None,
        agents: Mapping[str, str] | None = None,
        allow: Sequence[str] = (),
        contexts: Mapping[str, str] | None = None,
        squash: bool = False,
        jobs: int | None = None,
        no_cache_stages: Sequence[str] = (),
        cache_from: Sequence[str] = (),
        cache_to: Sequence[str] = (),
        platforms: Sequence[str] = (),
        events: Sink | None = None,
    ) -> Image:
        """Build a Dockerfile, or a `lamina.Stage`; tagged and durable when this returns.

        What FROM and COPY --from name is pulled when it is `missing`, `always`, `newer` or
        `never`. `secrets` and `agents` (sockets of ssh agents) are by ID, for `RUN --mount`;
        `allow` names what RUN may have beyond the usual (`security.insecure`). `contexts` are
        directories, `docker-image://` and `oci-layout://` by the name of the stage or image they
        stand for; with `squash` all that the build adds is one layer. `jobs` stages are worked on
        at once (None: as many as there are processors, two at least). With
        `no_cache` all steps are carried out anew, else those of `no_cache_stages`. `cache_from`
        and `cache_to` are as for `lamina build`: caches to ask and to write. Of `platforms` the
        image for this machine, else the first, is given; `carry_out` gives all. Raises
        `DockerfileError`, `StepFailed` or another `LaminaError`.
        """
        from lamina.build import BuildRequest
        from lamina.engine.building import assembled, parse_named

        request = BuildRequest(
            context=context,
            dockerfile=dockerfile,
            dockerfile_text=dockerfile_text,
            tags=tuple(tags),
            build_args=dict(build_args or {}),
            target=target,
            labels=dict(labels or {}),
            network=network,
            no_cache=no_cache,
            source_date_epoch=source_date_epoch,
            secrets=dict(secrets or {}),
            agents=dict(agents or {}),
            allow=frozenset(allow),
            squash=squash,
            jobs=jobs,
            no_cache_stages=frozenset(each.lower() for each in no_cache_stages),
            platforms=tuple(platforms),
            contexts=dict(parse_named(f"{k}={v}") for k, v in (contexts or {}).items()),
            stages=None if stage is None else assembled(stage),
        )
        result = self.carry_out(
            request,
            pull=pull,
            verify_tls=verify_tls,
            cache_from=cache_from,
            cache_to=cache_to,
            events=events,
        )
        return self.get(result.image_id)

    def check(self, request: "BuildRequest") -> "Checked":
        """What BuildKit's build checks say of a Dockerfile; nothing is built or pulled."""
        from lamina.engine.building import Bases, builder

        bases = Bases(self._store, "never", True, self._store.events)
        return builder(self._store, bases).check(request)

    def carry_out(
        self,
        request: "BuildRequest",
        *,
        pull: str = "missing",
        verify_tls: bool = True,
        cache_from: Sequence[str] = (),
        cache_to: Sequence[str] = (),
        events: Sink | None = None,
        debug: "Debug | None" = None,
    ) -> "BuildResult":
        """Build what a request says, which may be no image of the store; raises the same.

        `debug` is handed a way to start a shell where a command failed, and comes back when it has
        seen enough. A cache that cannot be written raises when the image is made.
        """
        from lamina.engine.building import Bases, builder

        sink = events or self._store.events
        built = builder(self._store, Bases(self._store, pull, verify_tls, sink))
        if not cache_from and not cache_to:
            return built.build(request, sink, debug)
        from lamina.engine.caching import Caching

        caching = Caching(self._store, verify_tls, sink)
        return caching.build(built, request, cache_from, cache_to, debug)

    def built(self, result: "BuildResult") -> Inside:
        """The inside of what was just built, also where it is no image of the store."""
        from lamina.engine.building import BuiltInside

        return BuiltInside(self._store, result.config)

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
            name, platform_of(platform), events or self._store.events
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
        return place.push(reference, events or self._store.events, packing)

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
        told = events or self._store.events
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
            events=events or self._store.events,
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
    ) -> Image:
        """Make an image of a root file system's tar, from a path or a stream.

        `created` is in seconds since the epoch (default: now). Raises `BadArchive`.
        """
        from lamina.engine.platforms import host_platform
        from lamina.transfer.importing import import_root

        names = (tag_reference(repository),) if repository else ()
        image = import_root(
            source,
            self._images,
            self._store.layers,
            names=names,
            platform=host_platform(),
            created=time.time() if created is None else created,
            message=message,
            changes=tuple(changes),
        )
        return Image(self._store, self._images.row(image))

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

    def prune(self, *, unused: bool = False) -> Pruned:
        """Remove the images without names, or with `unused` all that no container uses."""
        gc.expire_ingests(self._store.layers.root, time.time() + 1)
        with self._store.layers.root.database.read() as db:
            used = {row.image_id for row in container_rows.all_rows(db)}
        doomed = [
            image for image in self.list() if image.id not in used and (unused or not image.names)
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
        """The images, newest first; of one repository or name, with names or without."""
        found = [Image(self._store, named) for named in self._images.all()]
        if dangling is not None:
            found = [image for image in found if (not image.names) is dangling]
        if name is not None:
            found = [image for image in found if _is_called(image, name)]
        return found


def _is_called(image: Image, name: str) -> bool:
    wanted = Reference.parse(name)
    for text in image.names:
        reference = Reference.parse(text)
        if reference.name == wanted.name and wanted.tag in (None, reference.tag):
            return True
    return False


__all__ = ["Images", "LoadedImage", "Pruned", "PulledImage"]
