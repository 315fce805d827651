"""A build from request to image: read, plan, execute, finish, name.

    BuildRequest -> Opened (context, Dockerfile) -> Plan -> State -> ImageConfig -> ImageID

Puts the parts together and knows no detail of any.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina import dockerfile
from lamina.build import image, operation
from lamina.build.api import (
    Bases,
    BuildRequest,
    BuildResult,
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
from lamina.build.context import Opened, open_context
from lamina.build.contexts import Contexts
from lamina.build.crew import Crew
from lamina.build.executor import Executor, Platform
from lamina.build.imported import ImportedCache, Imports, Lay, LazyLayers, NotBrought, Remote
from lamina.build.mounts import Mounting
from lamina.build.plan import Layouts, Plan, make_plan, no_layouts
from lamina.build.portable import NOTHING
from lamina.build.record import Record
from lamina.build.selection import Fetched
from lamina.build.state import State
from lamina.build.steps import Settings, Steps
from lamina.build.stop import Stop
from lamina.build.telling import Telling
from lamina.build.wishes import anew, epoch_of, jobs_of, scope_of, tag_of, wants_inline
from lamina.dockerfile.giturl import Git
from lamina.errors import (
    DockerfileError,
    ImageNotFound,
    InvalidReference,
    RegistryError,
)
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, ImageID
from lamina.values.events import CheckWarned, Notice, Sink, ignore
from lamina.values.reference import Reference

if TYPE_CHECKING:  # only a check needs the rules, only an ADD what fetches
    from lamina.build.fetch import Ask, Fetcher
    from lamina.build.gitsource import GitTree
    from lamina.dockerfile.lint import Checked

_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
}
_CHECK = "BUILDKIT_DOCKERFILE_CHECK"


class _Made(NamedTuple):
    """What an attempt came to; the fields of a `BuildResult`."""

    config: ImageConfig
    used: Used
    own_layers: int
    carried_out: int


def _lay_nothing(_missing: Sequence[Remote], _below: ChainID | None, _events: Sink) -> None:
    pass


NO_CACHES = Caches((), _lay_nothing)


class Builder:
    """Builds images over one store; use it from one thread."""

    def __init__(
        self,
        layers: Layers,
        images: Images,
        cache: Cache,
        runner: Runner,
        mount_store: MountStore,
        *,
        bases: Bases | None = None,
        ask: "Ask",
        layouts: Layouts = no_layouts,
        clock: Callable[[], float] = time.time,
        platform: Platform | None = None,
    ) -> None:
        self._layers = layers
        self._images = images
        self._cache = cache
        self._runner = runner
        self._bases = bases or self._from_store
        self._mount_store = mount_store
        self._layouts = layouts
        self._ask = ask
        self._clock = clock
        self._platform = platform or host_platform()

    def build(
        self,
        request: BuildRequest,
        sink: Sink = ignore,
        debug: Debug | None = None,
        caches: Caches = NO_CACHES,
    ) -> BuildResult:
        """Build and name an image; it is durable when this returns. `caches` are asked besides
        the store's own.

        `debug` may look around where a command fails; stages are then built one after the other.

        Raises `DockerfileError`, `UsageError`, `BuildError` (`StepFailed` for a RUN that fails),
        `ImageNotFound` or a `StorageError`; nothing is left behind then but cached steps.
        """
        names = tuple(tag_of(text) for text in request.tags)
        telling = Telling(sink)
        with open_context(request) as context:
            plan = self._plan(request, context)
            for text in plan.warnings:
                telling.warn(text)
            imports = Imports(() if request.no_cache else caches.sources, telling.warn)
            attempt = partial(self._attempt, request, context, plan, telling, debug)
            made = None
            while made is None:
                try:
                    made = attempt(imports, caches.lay)
                except NotBrought as error:
                    imports.disappointed()
                    telling(Notice(f"{error.brief}: the build begins again"))
            if sink is not ignore:
                self._tell_checks(request, context, telling)
        if request.stored:
            self._store(made.config, names, made.carried_out)
        return BuildResult(
            made.config.id,
            telling.warnings,
            made.config,
            made.used,
            made.own_layers,
            made.carried_out,
        )

    def _attempt(
        self,
        request: BuildRequest,
        context: Opened,
        plan: Plan,
        telling: Telling,
        debug: Debug | None,
        imports: Imports,
        lay: Lay,
    ) -> "_Made":
        """Carry out a plan; raises `NotBrought` when what imported caches promised is not there."""
        epoch, stop = epoch_of(request), Stop()
        crew = Crew(1 if debug else jobs_of(request), stop)
        lazy = LazyLayers(self._layers, imports, lay, telling, crew.by_caller)
        asked = ImportedCache(self._cache, imports, lazy, crew.by_caller)
        layers: Layers = lazy if imports else self._layers
        cache = RecordingCache(asked if imports else self._cache)
        contexts = Contexts(context, cache.stat_cache)
        executor = Executor(
            plan,
            steps=self._steps(request, layers, cache, epoch, telling, stop, debug),
            anew=anew(request, plan, telling.warn),
            crew=crew,
            images=self._images,
            bases=self._bases,
            contexts=contexts,
            fetch=self._fetching(request),
            repositories=lambda git: self._repository(request, git),
            scope=scope_of(request, plan, telling.warn),
            platform=self._platform,
            sink=telling,
        )
        try:
            state = executor.run()
        finally:
            contexts.close()
        if request.squash:
            state = self._squashed(state, layers, cache, epoch)
        lazy.need(state.chain)
        config = self._finished(state.with_labels(request.labels.items()), cache, epoch)
        inline = wants_inline(request)
        is_told = inline or request.tells_used
        found = used_of(cache.used, layers, imports) if is_told else Used(NOTHING, {})
        if inline:
            config = with_inline(config, found.known)
        return _Made(config, found, state.own_layers, executor.carried_out)

    def plan(self, request: BuildRequest) -> Plan:
        """What a build would do; nothing is carried out."""
        with open_context(request) as context:
            return self._plan(request, context)

    def check(self, request: BuildRequest) -> "Checked":
        """What the build checks say of a Dockerfile; nothing is built or pulled.

        Raises `DockerfileError` for what cannot be read at all.
        """
        with open_context(request) as context:
            return self._checked(request, context, _text(context))

    def _checked(self, request: BuildRequest, context: Opened, text: str) -> "Checked":
        from lamina.dockerfile import lint

        return lint.check(
            text,
            filename=context.dockerfile.name,
            options=request.build_args.get(_CHECK),
            build_args=request.build_args,
            ignore=context.tree.ignore_alone,
            bases=self._environment,
            platforms=self._platform_of,
            platform=_platform_arguments(self._platform),
        )

    def _tell_checks(self, request: BuildRequest, context: Opened, telling: Telling) -> None:
        """What the build checks say, after all: an ordinary build only mentions it."""
        for each in self._checked(request, context, _text(context)).warnings:
            telling(CheckWarned(each.rule, each.detail, each.position.first, each.url))

    def _environment(self, reference: str) -> dict[str, str] | None:
        """What is set in an image of the store; None when it is not there."""
        found = self._stored(reference)
        return None if found is None else State.over(found).environment

    def _platform_of(self, reference: str) -> str | None:
        found = self._stored(reference)
        if found is None:
            return None
        return str(Platform(found.os, found.architecture, found.variant))

    def _stored(self, reference: str) -> ImageConfig | None:
        try:
            return self._images.config(self._images.resolve(reference))
        except (ImageNotFound, InvalidReference):
            return None

    def _refuse_warned(self, request: BuildRequest, context: Opened, text: str) -> None:
        """With `error=true` what the checks warn of ends the build."""
        said = request.build_args.get(_CHECK)
        if "error=" not in (_directive(text) if said is None else said):
            return
        checked = self._checked(request, context, text)
        if checked.is_error and checked.warnings:
            rules = ", ".join(sorted({each.rule for each in checked.warnings}))
            raise checked.warnings[0].position.error(
                f"lint violation found for rules: {rules}", hint="see `lamina build --check`"
            )

    def _plan(self, request: BuildRequest, context: Opened) -> Plan:
        name, text = context.dockerfile.name, _text(context)
        self._refuse_warned(request, context, text)
        return make_plan(
            dockerfile.parse(text, filename=name),
            triggers=self._triggers,
            platform=_platform_arguments(self._platform),
            build_args=request.build_args,
            target=request.target,
            contexts=request.contexts,
            layouts=self._layouts,
        )

    def _from_store(self, reference: str, _platform: str) -> ImageID:
        return self._images.resolve(reference)

    def _triggers(
        self, reference: str, platform: str, position: dockerfile.Position
    ) -> tuple[str, ...]:
        try:
            found = self._images.config(self._bases(reference, platform))
        except (ImageNotFound, RegistryError) as error:
            brief = f"{position.file}:{position.first}: {error.brief}"
            raise type(error)(brief, hint=error.hint) from error
        return found.config.on_build or ()

    def _repository(self, request: BuildRequest, git: Git) -> "GitTree":
        from lamina.build.gitsource import GitTree, resolve

        agent = request.agents.get("default", "")
        return GitTree(git, resolve(git, agent), agent, self._mount_store.workplace)

    def _fetching(self, request: BuildRequest) -> Callable[[operation.Remote], Fetched]:
        """What fetches, within one build; loaded by the first that is to be fetched."""
        made: list[Fetcher] = []

        def fetch(remote: operation.Remote) -> Fetched:
            if not made:
                from lamina.build.fetch import Fetcher

                scratch = self._mount_store.scratch
                fresh = request.no_cache
                made.append(Fetcher(self._ask, self._cache, scratch, self._clock, no_cache=fresh))
            return made[0].fetch(remote)

        return fetch

    def _steps(
        self,
        request: BuildRequest,
        layers: Layers,
        cache: Cache,
        epoch: int | None,
        sink: Sink,
        stop: Stop,
        debug: Debug | None,
    ) -> Steps:
        settings = Settings(epoch, self._clock)
        mounting = Mounting(
            layers,
            self._mount_store,
            request.secrets,
            request.agents,
            lambda text: sink(Notice(text)),
            stop,
        )
        return Steps(layers, cache, self._runner, mounting, settings, stop, debug)

    def _squashed(self, state: State, layers: Layers, cache: Cache, epoch: int | None) -> State:
        from lamina.build.squash import squashed

        now = float(epoch) if epoch is not None else round(self._clock(), 3)
        return squashed(state, layers, cache, now=now, epoch=epoch)

    def _finished(self, state: State, cache: Cache, epoch: int | None) -> ImageConfig:
        first_made = partial(self._first_made, cache)
        return image.finish(state, epoch=epoch, first_made=first_made)

    def _first_made(self, cache: Cache, state: State) -> float:
        """When an image without any new layer was first built: the same each time."""
        key = Inputs({"op": "image", "content": image.timeless(state)}).key
        known = cache.find(key)
        if known is not None:
            return known.created
        now = round(self._clock(), 3)
        cache.record(key, Record(None, "{}", now))
        return now

    def _store(self, config: ImageConfig, names: tuple[Reference, ...], carried_out: int) -> None:
        """Store and name the image; nothing is written when all of it is so already."""
        if self._resolve(config.id) is None:
            self._images.create(config, names)
            self._layers.barrier()
            return
        moved = [name for name in names if self._resolve(str(name)) != config.id]
        for name in moved:
            self._images.tag(config.id, name)
        if carried_out or moved or not self._layers.is_durable:
            self._layers.barrier()

    def _resolve(self, text: str) -> ImageID | None:
        try:
            return self._images.resolve(text)
        except ImageNotFound:
            return None


def _text(context: Opened) -> str:
    name, data = context.dockerfile
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise DockerfileError("it is not UTF-8 text", file=name) from None


def _directive(text: str) -> str:
    from lamina.dockerfile.directives import find

    found = find("check", text)
    return found.value if found is not None else ""


def host_platform() -> Platform:
    """This machine's platform in Go's names."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def _platform_arguments(platform: Platform) -> dict[str, str]:
    """The automatic arguments: BUILDPLATFORM, TARGETARCH and their like."""
    facts = {
        "PLATFORM": str(platform),
        "OS": platform.os,
        "OSVERSION": "",
        "ARCH": platform.architecture,
        "VARIANT": platform.variant,
    }
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in facts.items()}
