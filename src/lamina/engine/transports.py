"""From the written ends of a copy to open ones, and the copy between them.

Is imported only by what copies. Each form is loaded by the end that has it: a copy between
registries must not wait for what reads archives, nor one between archives for HTTP.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.archive.entry import Write
from lamina.engine.image import Image, tag_reference
from lamina.engine.inside import Inside
from lamina.engine.parts import Parts
from lamina.engine.platforms import platform_of
from lamina.errors import UsageError
from lamina.fs.newfile import new_file
from lamina.images.api import TravellingImage
from lamina.transfer import graph, notation
from lamina.transfer.copying import Copied, copy
from lamina.transfer.ends import api
from lamina.transfer.ends.layout import LayoutSink, LayoutSource, names_for
from lamina.transfer.naming import named
from lamina.transfer.notation import (
    DirectoryEnd,
    DockerArchiveEnd,
    End,
    ForeignEnd,
    LayoutEnd,
    RegistryEnd,
    StoreEnd,
)
from lamina.values.events import Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:
    from lamina.engine.registries import Registries
    from lamina.images.members import Members


_Filed = LayoutEnd | DirectoryEnd | DockerArchiveEnd
"""Ends that lie at a path."""


class Transports:
    """The ends that one store's user can name."""

    def __init__(
        self, store: Parts, sources: "Registries | None", targets: "Registries | None"
    ) -> None:
        self._store = store
        self._sources = sources
        self._targets = targets

    def copy(
        self, source: str, target: str, platform: str | None, everything: bool, events: Sink
    ) -> Copied:
        """Copy an image, or with `everything` an index with all its images; see `Images.copy`."""
        origin, goal = notation.parse(source), notation.parse(target)
        _refuse(goal, everything, platform)
        wanted = platform_of(platform)
        if isinstance(origin, _Filed):
            from lamina.registry import policy

            policy.read(self._store.config.environ).refuse_file(_kind(origin), origin.path)
        with named(origin.path if isinstance(origin, _Filed) else None):
            if isinstance(goal, StoreEnd):
                return self._into_store(origin, tag_reference(goal.name), wanted, events)
            if isinstance(goal, DockerArchiveEnd):
                return self._into_docker_archive(origin, goal, wanted, events)
            return self._into_content(origin, goal, None if everything else wanted, events)

    def look(self, origin: str, platform: str | None, events: Sink) -> Inside:
        """Look into an image where it lies; see `Images.look`."""
        from lamina.engine.elsewhere import read_whole

        end = notation.parse(origin)
        if isinstance(end, StoreEnd):
            return self._stored(end)
        with self._travelling(end, platform, events) as image:
            return read_whole(image, events)

    def read(
        self, origin: str, paths: Sequence[str], platform: str | None, events: Sink, out: Write
    ) -> None:
        """Write what files of an image hold where it lies; see `Images.read`."""
        from lamina.engine.reaching import Reaching

        end = notation.parse(origin)
        if isinstance(end, StoreEnd):
            for path in paths:
                self._stored(end).read(path, out)
            return
        with (
            self._travelling(end, platform, events) as image,
            Reaching(image, self._scratch, events) as reaching,
        ):
            for path in paths:
                reaching.write(os.fsencode(path), out)

    def _stored(self, end: StoreEnd) -> Image:
        images = self._store.image_store
        return Image(self._store, images.row(images.resolve(end.name)))

    @contextmanager
    def _travelling(
        self, end: End, platform: str | None, events: Sink
    ) -> Iterator[TravellingImage]:
        """An image as it is looked into; complaints name the file it lies in."""
        with (
            named(_place(end)),
            self._image(end, platform_of(platform), events) as image,
        ):
            yield image

    # --- into what holds images -----------------------------------------------------------

    def _into_store(
        self, origin: End, name: Reference, platform: tuple[str, ...], events: Sink
    ) -> Copied:
        images, layers = self._store.image_store, self._store.layers
        if isinstance(origin, StoreEnd):
            here = images.resolve(origin.name)
            images.tag(here, name)
            return Copied(images.row(here).row.manifest, here, True)
        if isinstance(origin, RegistryEnd):
            pulled = self._registries(self._sources).pull(origin.name, platform, events, under=name)
            return Copied(pulled.digest, pulled.image, True)
        from lamina.transfer.load import load_one

        with self._image(origin, platform, events) as image:
            made = load_one(image._replace(names=(name,)), images, layers, events).image
        layers.barrier()
        return Copied(images.row(made).row.manifest, made, image.manifest is not None)

    def _into_docker_archive(
        self, origin: End, goal: DockerArchiveEnd, platform: tuple[str, ...], events: Sink
    ) -> Copied:
        from lamina.images.tape import FileTape
        from lamina.transfer.ends.dockerarchive import write_image
        from lamina.transfer.save import write_docker_archive

        names = [goal.ref] if goal.ref else []
        if isinstance(origin, StoreEnd):
            images = self._store.image_store
            here = images.resolve(origin.name)
            with new_file(goal.path, durable=True) as file:
                write_docker_archive({here: names}, images, self._store.layers, FileTape(file))
            return Copied(None, here, False)
        with (
            self._image(origin, platform, events) as image,
            new_file(goal.path, durable=True) as file,
        ):
            write_image(image, names, file, events)
        return Copied(None, image.config.id, False)

    # --- into what holds content ----------------------------------------------------------

    def _into_content(
        self, origin: End, goal: End, platform: tuple[str, ...] | None, events: Sink
    ) -> Copied:
        with ExitStack() as opened:
            source = opened.enter_context(self._opened(origin, events))
            has_manifest = not isinstance(source, TravellingImage)
            if isinstance(source, TravellingImage):
                from lamina.transfer.ends.packing import packed

                source = opened.enter_context(packed(source, self._scratch, events))
            found = graph.whole(source) if platform is None else graph.one(source, platform)
            with self._sink(source, found, goal) as sink:
                copied = copy(found, source, sink, events)
        return copied._replace(kept=has_manifest)

    def _scratch(self) -> int:
        from lamina.transfer.opening import scratch_file

        return scratch_file(self._store.layers)

    @contextmanager
    def _sink(self, source: api.Source, found: graph.Graph, goal: End) -> Iterator[api.Sink]:
        if isinstance(goal, RegistryEnd):
            yield self._registry_sink(source, found, goal)
        elif isinstance(goal, DirectoryEnd):
            from lamina.transfer.ends.plain import DirectorySink

            yield DirectorySink(goal.path)
        elif isinstance(goal, LayoutEnd) and goal.packed:
            from lamina.images.tape import FileTape
            from lamina.transfer.ends.ociarchive import OciArchiveSink

            with new_file(goal.path, durable=True) as file:
                archive = OciArchiveSink(FileTape(file), names_for(goal.ref))
                yield archive
                archive.finish()
        elif isinstance(goal, LayoutEnd):
            yield LayoutSink(goal.path, names_for(goal.ref))
        else:
            raise UsageError("nothing can be copied there")

    def _registry_sink(self, source: api.Source, found: graph.Graph, goal: RegistryEnd) -> api.Sink:
        from lamina.transfer.ends.remote import RegistrySink, RegistrySource

        repository = self._registries(self._targets).repository(goal.name)
        places: list[str] = []
        if isinstance(source, RegistrySource) and source.repository.host == repository.host:
            places = [source.repository.path]
        return RegistrySink(repository, goal.name, {each.digest: places for each in found.blobs})

    # --- out of any end -------------------------------------------------------------------

    @contextmanager
    def _image(
        self, origin: End, platform: tuple[str, ...], events: Sink
    ) -> Iterator[TravellingImage]:
        """An image that travels, its layers as they come."""
        with self._opened(origin, events) as source:
            if isinstance(source, TravellingImage):
                yield source
            else:
                from lamina.transfer.ends.travelling import image_of

                yield image_of(source, platform, ())

    @contextmanager
    def _opened(self, origin: End, events: Sink) -> Iterator[api.Source | TravellingImage]:
        """Content by digest, or an image that came without a manifest."""
        if isinstance(origin, RegistryEnd):
            from lamina.transfer.ends.remote import RegistrySource

            yield RegistrySource(*self._registries(self._sources).found(origin.name, events))
        elif isinstance(origin, ForeignEnd):
            with self._foreign(origin) as image:
                yield image
        elif isinstance(origin, StoreEnd):
            from lamina.transfer.ends.stored import content_of

            images = self._store.image_store
            here = images.resolve(origin.name)
            with content_of(here, images, self._store.layers, events) as content:
                yield content
        else:
            from lamina.transfer.opening import opened_members

            with opened_members(origin.path, self._store.layers) as members:
                yield _within(origin, members)

    @contextmanager
    def _foreign(self, origin: ForeignEnd) -> Iterator[TravellingImage]:
        from lamina.foreign.opening import open_foreign
        from lamina.transfer.takeover import find

        store = open_foreign(f"{origin.kind}:{origin.root}")
        try:
            yield find(store, origin.name).image
        finally:
            store.close()

    def _registries(self, given: "Registries | None") -> "Registries":
        from lamina.engine.registries import Registries

        return given or Registries(self._store)


def _kind(origin: _Filed) -> str:
    """What a form is called in policy.json."""
    if isinstance(origin, LayoutEnd):
        return "oci-archive" if origin.packed else "oci"
    return "dir" if isinstance(origin, DirectoryEnd) else "docker-archive"


def _place(end: End) -> str | None:
    """What complaints about an end's bytes begin with."""
    if isinstance(end, ForeignEnd):
        return f"{end.kind}:{end.root}".rstrip(":")
    return end.path if isinstance(end, _Filed) else None


def _within(origin: _Filed, members: "Members") -> api.Source | TravellingImage:
    if isinstance(origin, LayoutEnd):
        return LayoutSource(members, origin.ref)
    if isinstance(origin, DirectoryEnd):
        from lamina.transfer.ends.plain import DirectorySource

        return DirectorySource(members)
    from lamina.transfer.ends.dockerarchive import chosen
    from lamina.transfer.ends.travelling import TravellingSource

    image = chosen(members, origin.ref)
    return TravellingSource(image, image.manifest) if image.manifest is not None else image


def _refuse(goal: End, everything: bool, platform: str | None) -> None:
    """Raise `UsageError` for what no two ends can do."""
    if everything and platform is not None:
        raise UsageError("all platforms and one platform are not to be had at once")
    if everything and isinstance(goal, StoreEnd | DockerArchiveEnd):
        raise UsageError("all platforms go only where an index can be: not into one image's place")
    if isinstance(goal, ForeignEnd):
        raise UsageError(f"{goal.kind}: is only read", hint="copy to lamina:, oci: or docker://")
    if isinstance(goal, LayoutEnd | DockerArchiveEnd) and goal.ref.startswith("@"):
        raise UsageError(f"{goal.ref} numbers an image that is read; what is written has a name")
