"""One try to carry out a plan for one platform: stages, steps, and the config they come to.

A try ends early where an imported cache does not keep what it promised; the next one believes less.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina.build import image
from lamina.build.api import (
    Bases,
    BuildRequest,
    Cache,
    Debug,
    Images,
    Layers,
    MountStore,
    Runner,
    Used,
)
from lamina.build.cachekey import Inputs
from lamina.build.caches import Caches, RecordingCache, used_of, with_inline
from lamina.build.context import Opened
from lamina.build.contexts import Contexts
from lamina.build.crew import Crew
from lamina.build.executor import Executor, Target
from lamina.build.imported import ImportedCache, Imports, LazyLayers
from lamina.build.mounts import Mounting
from lamina.build.operation import Remote
from lamina.build.plan import Plan
from lamina.build.portable import NOTHING
from lamina.build.record import Record
from lamina.build.selection import Fetched
from lamina.build.state import State
from lamina.build.steps import Settings, Steps
from lamina.build.stop import Stop
from lamina.build.telling import Telling
from lamina.build.wishes import anew, epoch_of, jobs_of, scope_of, wants_inline
from lamina.dockerfile.giturl import Git
from lamina.spec.imageconfig import ImageConfig
from lamina.values.events import Notice

if TYPE_CHECKING:  # only an ADD needs what fetches
    from lamina.build.fetch import Ask, Fetcher
    from lamina.build.gitsource import GitTree


class Parts(NamedTuple):
    """What a builder works with, whatever it builds."""

    layers: Layers
    images: Images
    cache: Cache
    runner: Runner
    mount_store: MountStore
    bases: Bases
    ask: "Ask"
    clock: Callable[[], float] = time.time


class Made(NamedTuple):
    """What a plan came to; see `BuildResult`."""

    config: ImageConfig
    used: Used
    own_layers: int
    carried_out: int


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

    def carry_out(self, plan: Plan, target: Target, imports: Imports) -> Made:
        """Carry out a plan; raises `NotBrought` when what imported caches promised is not there."""
        stop = Stop()
        crew = Crew(1 if self._debug else jobs_of(self._request), stop)
        own = self._parts.layers
        lazy = LazyLayers(own, imports, self._caches.lay, self._telling, crew.by_caller)
        asked = ImportedCache(self._parts.cache, imports, lazy, crew.by_caller)
        layers: Layers = lazy if imports else own
        cache = RecordingCache(asked if imports else self._parts.cache)
        state, carried_out = self._walked(plan, target, layers, cache, crew, stop)
        if self._request.squash:
            state = self._squashed(state, layers, cache)
        lazy.need(state.chain)
        config = self._finished(state.with_labels(self._request.labels.items()), cache)
        inline = wants_inline(self._request)
        is_told = inline or self._request.tells_used
        used = used_of(cache.used, layers, imports) if is_told else Used(NOTHING, {})
        config = with_inline(config, used.known) if inline else config
        return Made(config, used, state.own_layers, carried_out)

    def _walked(
        self, plan: Plan, target: Target, layers: Layers, cache: Cache, crew: Crew, stop: Stop
    ) -> tuple[State, int]:
        """The state that a plan leads to, and how many steps were carried out."""
        contexts = Contexts(self._context, cache.stat_cache)
        executor = Executor(
            plan,
            steps=self._steps(layers, cache, stop),
            anew=anew(self._request, plan, self._telling.warn),
            crew=crew,
            images=self._parts.images,
            bases=self._parts.bases,
            contexts=contexts,
            fetch=self._fetching(cache),
            repositories=self._repository,
            scope=scope_of(self._request, plan, self._telling.warn),
            target=target,
            sink=self._telling,
        )
        try:
            return executor.run(), executor.carried_out
        finally:
            contexts.close()

    def _steps(self, layers: Layers, cache: Cache, stop: Stop) -> Steps:
        mounting = Mounting(
            layers,
            self._parts.mount_store,
            self._request.secrets,
            self._request.agents,
            lambda text: self._telling(Notice(text)),
            stop,
        )
        settings = Settings(self._epoch, self._parts.clock)
        ancestors = self._caches.ancestors
        runner, debug = self._parts.runner, self._debug
        return Steps(layers, cache, runner, mounting, settings, stop, debug, ancestors)

    def _repository(self, git: Git) -> "GitTree":
        from lamina.build.gitsource import GitTree, resolve

        agent = self._request.agents.get("default", "")
        return GitTree(git, resolve(git, agent), agent, self._parts.mount_store.workplace)

    def _fetching(self, cache: Cache) -> Callable[[Remote], Fetched]:
        """What fetches, within one build; loaded by the first that is to be fetched."""
        made: list[Fetcher] = []
        parts, fresh = self._parts, self._request.no_cache

        def fetch(remote: Remote) -> Fetched:
            if not made:
                from lamina.build.fetch import Fetcher

                scratch = parts.mount_store.scratch
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
