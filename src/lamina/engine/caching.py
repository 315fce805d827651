"""Build caches where they lie: the places that `--cache-from` and `--cache-to` name, opened.

Is imported only by a build that asks for one, and loads what speaks to registries only for those.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING

from lamina.build import Builder, BuildRequest, cachemedia, cachewriting
from lamina.build.api import BuildResult, Debug
from lamina.build.cachemounts import StoreMounts
from lamina.build.caches import Caches
from lamina.build.cachewishes import IMAGE, INLINE, LOCAL, CacheFrom, CacheTo, parse_from, parse_to
from lamina.build.imported import Import, Opened
from lamina.build.past import Ancestor
from lamina.content.verified import ByteStream
from lamina.engine.parts import Parts
from lamina.engine.platforms import platform_of
from lamina.errors import BadDocument, ImageNotFound, InvalidReference, LaminaError
from lamina.images.edit import BUILD_CACHE
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Sink as End
from lamina.transfer.ends.layout import LayoutSink, LayoutSource, names_for
from lamina.transfer.naming import named
from lamina.transfer.opening import opened_members
from lamina.values.digest import ImageID, chain_ids
from lamina.values.events import Caution, Notice, Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:
    from lamina.engine.registries import Registries

_TRIES = 2  # to read a cache


class Caching:
    """The caches of one build."""

    def __init__(self, store: Parts, verify_tls: bool, events: Sink) -> None:
        self._store = store
        self._verify_tls = verify_tls
        self._events = events

    @cached_property
    def _asked(self) -> "Registries":
        """Registries of caches to read: a build can do without, and does not wait for long."""
        from lamina.engine.registries import Registries

        return Registries(self._store, verify_tls=self._verify_tls, tries=_TRIES)

    @cached_property
    def _told(self) -> "Registries":
        """Registries of caches to write."""
        from lamina.engine.registries import Registries

        return Registries(self._store, verify_tls=self._verify_tls)

    def build(
        self,
        builder: Builder,
        request: BuildRequest,
        sources: Sequence[str],
        targets: Sequence[str],
        debug: Debug | None,
    ) -> BuildResult:
        """Build with caches asked and written as `--cache-from` and `--cache-to` say."""
        wanted = [wish for text in sources for wish in parse_from(text)]
        goals = [parse_to(text) for text in targets]
        inline = request.inline_cache or any(goal.kind == INLINE for goal in goals)
        goals = [goal for goal in goals if goal.kind != INLINE]
        request = request._replace(inline_cache=inline, tells_used=bool(goals))
        platforms = [platform_of(None if each == "local" else each) for each in request.platforms]
        with self._opened(wanted, platforms or [platform_of(None)]) as caches:
            result = builder.build(request, self._events, debug, caches)
            self._write(goals, result)
        return result

    # --- asked ------------------------------------------------------------------------------

    @contextmanager
    def _opened(
        self, wishes: Sequence[CacheFrom], platforms: Sequence[tuple[str, ...]]
    ) -> Iterator[Caches]:
        """The caches to ask, each read when it is first needed."""
        with ExitStack() as stack:
            ancestors = [found for each in wishes if (found := self._ancestor(each)) is not None]
            known = {each.title for each in ancestors}
            sources = tuple(
                Import(each.title, partial(self._read_wished, each, platforms, stack))
                for each in wishes
                if each.title not in known
            )
            lay = partial(cachemedia.lay, self._store.layers)
            yield Caches(sources, lay, tuple(ancestors))

    def _ancestor(self, wish: CacheFrom) -> Ancestor | None:
        """The image of the store that is meant, if it has no cache inside."""
        here = self._here(wish.place) if wish.kind == IMAGE else None
        if here is None:
            return None
        config = self._store.image_store.config(here)
        return None if BUILD_CACHE in config.document else Ancestor(wish.title, config)

    def _read_wished(
        self, wish: CacheFrom, platforms: Sequence[tuple[str, ...]], stack: ExitStack
    ) -> Opened:
        found = self._read(wish, platforms, stack)
        return found if wish.mounts else found._replace(known=found.known._replace(mounts={}))

    def _read(
        self, wish: CacheFrom, platforms: Sequence[tuple[str, ...]], stack: ExitStack
    ) -> Opened:
        if wish.kind == IMAGE:
            here = self._here(wish.place)
            if here is not None:
                config = self._store.image_store.config(here)
                return Opened(cachemedia.inline_of(config, wish.title), {}, _no_blob)
        self._events(Notice(f"importing the cache {wish.title}"))
        if wish.kind == LOCAL:
            return self._read_layout(wish, platforms, stack)
        from lamina.transfer.ends.remote import RegistrySource

        name = Reference.parse(wish.place).with_default_tag()
        source = RegistrySource(*self._asked.found(name, self._events))
        return cachemedia.read(source, platforms, wish.title)

    def _here(self, text: str) -> ImageID | None:
        try:
            return self._store.image_store.resolve(text)
        except (ImageNotFound, InvalidReference):
            return None

    def _read_layout(
        self, wish: CacheFrom, platforms: Sequence[tuple[str, ...]], stack: ExitStack
    ) -> Opened:
        from lamina.registry import policy

        policy.read(self._store.config.environ).refuse_file("oci", wish.place)
        members = stack.enter_context(opened_members(wish.place, self._store.layers))
        with named(wish.place):
            return cachemedia.read(LayoutSource(members, wish.tag), platforms, wish.title)

    # --- written ----------------------------------------------------------------------------

    def _write(self, wishes: Sequence[CacheTo], result: BuildResult) -> None:
        """Write what a build knew to each place; raises what the first raises that may not fail."""
        own = frozenset(chain for each in result.images for chain in chain_ids(each.diff_ids))
        layers = self._store.layers
        for wish in wishes:
            self._events(Notice(f"exporting the cache to {wish.place}"))
            mounts = StoreMounts(layers)
            try:
                end = self._end(wish)
                cachewriting.write(wish, result.used, own, layers, mounts, end, self._events)
            except LaminaError as error:
                if not wish.forgives:
                    raise
                self._events(Caution(f"the cache {wish.place} was not written: {error.brief}"))

    def _end(self, wish: CacheTo) -> End:
        if wish.kind == LOCAL:
            return LayoutSink(wish.place, names_for(wish.tag))
        from lamina.transfer.ends.remote import RegistrySink

        name = Reference.parse(wish.place).with_default_tag()
        return RegistrySink(self._told.repository(name), name, {})


def _no_blob(_blob: Descriptor) -> AbstractContextManager[ByteStream]:
    raise BadDocument("an image of the store is no source of blobs")  # its layers are all here
