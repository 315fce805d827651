"""One try to carry out plans, one for each platform: stages, steps, and the configs they come to.

A try ends early where an imported cache does not keep what it promised; the next one believes less.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina.build import image
from lamina.build.api import (
    Bases,
    BuildRequest,
    Cache,
    CacheWish,
    Debug,
    Images,
    Layers,
    MountStore,
    Runner,
    Seeds,
    StoredLayers,
    Used,
    UsedMount,
)
from lamina.build.cachekey import Inputs
from lamina.build.caches import Caches, Elsewhere, RecordingCache, used_here, used_of, with_inline
from lamina.build.context import Opened
from lamina.build.contexts import Contexts
from lamina.build.crew import Crew
from lamina.build.executor import Executor, Target
from lamina.build.holding import HeldAtNeed
from lamina.build.memory import Memory
from lamina.build.once import Once
from lamina.build.plan import Plan
from lamina.build.record import Portable, Record
from lamina.build.settings import Settings
from lamina.build.state import State
from lamina.build.steps import Steps
from lamina.build.stop import NotBrought, Stop
from lamina.build.telling import Telling
from lamina.build.wishes import anew, epoch_of, jobs_of, scope_of, wants_inline
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID
from lamina.values.events import Notice

if TYPE_CHECKING:  # a cached build carries out nothing and fetches nothing
    from lamina.build.fetch import Ask, Fetcher
    from lamina.build.gitsource import GitTree
    from lamina.build.imported import Imports
    from lamina.build.operation import Remote
    from lamina.build.selection import Fetched
    from lamina.build.witness import Material, Witnessing
    from lamina.build.work import Work
    from lamina.dockerfile.giturl import Git


class Parts(NamedTuple):
    """What a builder works with, whatever it builds; what carries steps out is made at need."""

    layers: StoredLayers
    images: Images
    cache: Cache
    runner: Callable[[], Runner]
    mount_store: Callable[[], MountStore]
    bases: Bases
    ask: "Ask"
    clock: Callable[[], float] = time.time
    proxies: Mapping[str, str] = {}


class Made(NamedTuple):
    """What a plan came to; see `BuildResult`."""

    config: ImageConfig
    used: Used
    own_layers: int
    carried_out: int
    materials: "tuple[Material, ...]" = ()


class _Store(NamedTuple):
    """Layers and records as one attempt sees them, imported ones included.

    `seeds` and `mounts` know what imported caches have of cache mounts. `need` has the layers of a
    chain here; `settle` writes down what is known of those that came.
    """

    layers: Layers
    cache: Cache
    seeds: Seeds
    mounts: "Callable[[Mapping[str, CacheWish]], Mapping[str, UsedMount]]"
    elsewhere: Elsewhere
    need: Callable[[ChainID | None], None]
    settle: Callable[[], None]


class Attempt:
    """Tries of one build; every `carry_out` is another one."""

    def __init__(
        self,
        parts: Parts,
        request: BuildRequest,
        context: Opened,
        telling: Telling,
        debug: Debug | None,
        caches: Caches,
    ) -> None:
        self._caches = caches
        self._parts = parts
        self._request = request
        self._context = context
        self._telling = telling
        self._debug = debug
        self._epoch = epoch_of(request)
        self._is_told = wants_inline(request) or request.tells_used
        self._trusts = not self._is_told  # that what is here stays until something needs it

    def carry_out(
        self,
        plans: Sequence[tuple[Plan, Target]],
        imports: "Imports | None",
        settle: Callable[[list[Made]], None],
    ) -> list[Made]:
        """Carry out plans, their stages at once; gives what each came to, once it is settled.

        Raises `NotBrought` when layers that were known of are not there: those that imported
        caches promised, or others that were removed meanwhile. The next try is more careful.
        """
        try:
            made = self._tried(plans, imports)
            settle(made)
            return made
        except NotBrought:
            self._trusts = False
            raise

    def _tried(self, plans: Sequence[tuple[Plan, Target]], imports: "Imports | None") -> list[Made]:
        stop = self._request.stop or Stop()
        crew = Crew(1 if self._debug else jobs_of(self._request), stop)
        store = self._store(imports, crew, stop) if imports else self._own()
        asked: dict[str, CacheWish] = {}
        contexts = Contexts(self._context, self._parts.cache.stat_cache)
        caches = [RecordingCache(store.cache) for _ in plans]
        made: set[str] = set()
        witnesses = [self._witnessing() for _ in plans]
        walks = [
            self._walk(
                plan,
                target,
                self._steps(store, cache, made, stop, asked),
                crew,
                contexts,
                cache,
                witness,
            )
            for (plan, target), cache, witness in zip(plans, caches, witnesses, strict=True)
        ]
        try:
            crew.work_off({key: piece for walk in walks for key, piece in walk.pieces().items()})
        finally:
            contexts.close()
        mounts = store.mounts(asked)
        done = [
            self._made(walk, store, cache, mounts)._replace(
                materials=witness.materials if witness is not None else ()
            )
            for walk, cache, witness in zip(walks, caches, witnesses, strict=True)
        ]
        store.settle()
        return done

    def _own(self) -> _Store:
        """The store alone: what it knows is here."""
        layers = HeldAtNeed(self._parts.layers) if self._trusts else self._parts.layers
        return _Store(
            layers,
            self._parts.cache,
            lambda _: None,
            used_here,
            lambda _: None,
            lambda _: None,
            lambda: None,
        )

    def _store(self, imports: "Imports", crew: Crew, stop: Stop) -> _Store:
        from lamina.build.imported import ImportedCache, LazyLayers
        from lamina.build.seeding import Seeding

        layers = LazyLayers(
            self._parts.layers, imports, self._caches.lay, self._telling, crew.by_caller
        )
        cache = ImportedCache(self._parts.cache, imports, layers, crew.by_caller)
        seeding = Seeding(imports, crew.by_caller, self._telling, stop)
        return _Store(
            layers,
            cache,
            seeding,
            seeding.used,
            imports.layer,
            layers.need,
            cache.adopt,
        )

    def _walk(
        self,
        plan: Plan,
        target: Target,
        steps: Steps,
        crew: Crew,
        contexts: Contexts,
        cache: Cache,
        witness: "Witnessing | None",
    ) -> Executor:
        bases, fetch = self._parts.bases, self._fetching(cache)
        repositories: Callable[[Git], GitTree] = self._repository
        if witness is not None:
            bases = witness.bases(bases)
            fetch, repositories = witness.fetch(fetch), witness.repositories(repositories)
        return Executor(
            plan,
            steps=steps,
            anew=anew(self._request, plan, self._telling.warn),
            crew=crew,
            images=self._parts.images,
            bases=bases,
            contexts=contexts,
            fetch=fetch,
            repositories=repositories,
            scope=scope_of(self._request, plan, self._telling.warn),
            target=target,
            sink=self._telling,
        )

    def _made(
        self,
        walk: Executor,
        store: _Store,
        cache: RecordingCache,
        mounts: Mapping[str, UsedMount],
    ) -> Made:
        """The image that a walk led to, its layers in the store."""
        state = walk.state
        if self._request.squash:
            state = self._squashed(state, store.layers, cache)
        store.need(state.chain)
        config = self._finished(state.with_labels(self._request.labels.items()), cache)
        used = Used(Portable({}, {}), {})
        if self._is_told:
            used = used_of(cache.used, mounts, store.layers, store.elsewhere)
        config = with_inline(config, used.known) if wants_inline(self._request) else config
        return Made(config, used, state.own_layers, walk.carried_out)

    def _steps(
        self,
        store: _Store,
        cache: Cache,
        made: set[str],
        stop: Stop,
        asked: dict[str, CacheWish],
    ) -> Steps:
        layers = store.layers
        settings = Settings(self._epoch, self._parts.clock, self._request.surroundings)
        memory = Memory(layers, cache, stop, settings.now, self._caches.ancestors, made)
        work = Once(lambda: self._work(store, settings, stop))
        return Steps(layers, cache, settings, memory, work, stop, asked)

    def _work(self, store: _Store, settings: Settings, stop: Stop) -> "Work":
        from lamina.build.mounts import Mounting
        from lamina.build.work import Work

        mounting = Mounting(
            store.layers,
            self._parts.mount_store,
            self._request.secrets,
            self._request.agents,
            lambda text: self._telling(Notice(text)),
            stop,
            store.seeds,
        )
        return Work(store.layers, self._parts.runner, mounting, settings, stop, self._debug)

    def _witnessing(self) -> "Witnessing | None":
        if "provenance" not in self._request.attests:
            return None
        from lamina.build.witness import Witnessing

        return Witnessing()

    def _repository(self, git: "Git") -> "GitTree":
        from lamina.build.gitsource import GitTree, asking_of, resolve

        how = asking_of(self._request, self._parts.proxies)
        return GitTree(git, resolve(git, how), how, self._parts.mount_store().workplace)

    def _fetching(self, cache: Cache) -> "Callable[[Remote], Fetched]":
        """What fetches, within one build; loaded by the first that is to be fetched."""
        made: list[Fetcher] = []
        parts, fresh = self._parts, self._request.no_cache

        def fetch(remote: "Remote") -> "Fetched":
            if not made:
                from lamina.build.fetch import Fetcher

                scratch = parts.mount_store().scratch
                made.append(Fetcher(parts.ask, cache, scratch, parts.clock, no_cache=fresh))
            return made[0].fetch(remote)

        return fetch

    # --- the end --------------------------------------------------------------------------

    def _now(self) -> float:
        return round(self._parts.clock(), 3)

    def _squashed(self, state: State, layers: Layers, cache: Cache) -> State:
        from lamina.build.squash import squashed

        now = float(self._epoch) if self._epoch is not None else self._now()
        return squashed(state, layers, cache, now=now, epoch=self._epoch)

    def _finished(self, state: State, cache: Cache) -> ImageConfig:
        first_made = partial(self._first_made, cache)
        return image.finish(state, epoch=self._epoch, first_made=first_made)

    def _first_made(self, cache: Cache, state: State) -> float:
        """When an image without any new layer was first built: the same each time."""
        key = Inputs({"op": "image", "content": image.timeless(state)}).key
        known = cache.find(key)
        if known is not None:
            return known.created
        now = self._now()
        cache.record(key, Record(None, "{}", now))
        return now
