"""A build from request to image: read, plan, execute, finish, name.

    BuildRequest -> Opened (context, Dockerfile) -> Plan -> State -> ImageConfig -> ImageID

Puts the parts together and knows no detail of any.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lamina import dockerfile
from lamina.build.api import (
    Annotate,
    Bases,
    BuildRequest,
    BuildResult,
    Cache,
    Debug,
    Images,
    MountStore,
    Runner,
    StoredLayers,
)
from lamina.build.attempt import Attempt, Made, Parts
from lamina.build.caches import Caches, united
from lamina.build.context import Opened, open_brought, open_context
from lamina.build.executor import Target
from lamina.build.image import platform_of
from lamina.build.named import Address, Repository, elsewhere
from lamina.build.outside import Layouts, Outside, no_layouts
from lamina.build.plan import Plan, make_plan
from lamina.build.stop import NotBrought
from lamina.build.telling import Telling
from lamina.build.wishes import (
    CHECK,
    annotates_descriptor,
    fitting,
    numbered,
    platform_arguments,
    refuse_unplaced,
    said_of_manifest,
    tag_of,
    targets_of,
)
from lamina.errors import (
    ImageNotFound,
)
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, ImageID
from lamina.values.events import Notice, Sink, ignore
from lamina.values.platform import Platform
from lamina.values.reference import Reference

if TYPE_CHECKING:  # only a check needs the rules, only what is elsewhere what fetches
    from lamina.archive.compress import ByteStream
    from lamina.build.asking import Asking
    from lamina.build.brought import Bringer
    from lamina.build.fetch import Ask
    from lamina.build.imported import Imports, Remote
    from lamina.build.outline import Outline
    from lamina.build.witness import Witness
    from lamina.dockerfile.giturl import Git
    from lamina.dockerfile.lint import Checked
    from lamina.dockerfile.targets import Goals

_KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


def _lay_nothing(_missing: "Sequence[Remote]", _below: ChainID | None, _events: Sink) -> None:
    pass


NO_PROXIES: Mapping[str, str] = {}
NO_CACHES = Caches((), _lay_nothing)


class Builder:
    """Builds images over one store; use it from one thread."""

    def __init__(
        self,
        layers: StoredLayers,
        images: Images,
        cache: Cache,
        runner: Callable[[], Runner],
        mount_store: Callable[[], MountStore],
        *,
        bases: Bases | None = None,
        ask: "Ask",
        annotate: Annotate,
        layouts: Layouts = no_layouts,
        clock: Callable[[], float] = time.time,
        platform: Platform | None = None,
        proxies: Mapping[str, str] = NO_PROXIES,
    ) -> None:
        self._layers = layers
        self._images = images
        self._bases = bases or self._from_store
        self._layouts = layouts
        self._annotate = annotate
        self._host = platform or Platform.of_machine(os.uname().machine)
        self._parts = Parts(
            layers, images, cache, runner, mount_store, self._bases, ask, clock, proxies
        )

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
        started = self._parts.clock() if request.attests else 0.0
        names = tuple(tag_of(text) for text in request.tags)
        targets = targets_of(request, self._host)
        telling = Telling(sink)
        refuse_unplaced(request, targets)
        fit = fitting([each.platform for each in targets], self._host)
        with self._opened(request, telling) as context:
            plans = [self._plan(request, context, each) for each in targets]
            for text in (text for plan in plans for text in plan.warnings):
                telling.warn(text)
            imports = _imports(caches, telling) if not request.no_cache else None
            attempt = Attempt(self._parts, request, context, telling, debug, caches)
            walks = list(zip(plans, numbered(targets, plans), strict=True))
            settle = partial(self._settle, request, names, fit)
            made = self._carried_out(attempt, walks, imports, telling, settle)
            if sink is not ignore and request.stages is None:
                self._asking().tell_checks(request, context, telling)
            witness = self._witness(request, context, started, made)
        configs = tuple(each.config for each in made)
        chosen = configs[fit]
        if request.stored and len(made) > 1:
            telling(Notice(f"the store has the image for {platform_of(chosen)} of these"))
        elif request.stored and annotates_descriptor(request):
            telling(Notice("a descriptor's annotations are only in what -o type=oci writes"))
        used = united([each.used for each in made])
        own_layers = made[fit].own_layers
        carried_out = sum(each.carried_out for each in made)
        return BuildResult(
            chosen.id, telling.warnings, chosen, used, configs, own_layers, carried_out, witness
        )

    def _witness(
        self, request: BuildRequest, context: Opened, started: float, made: list[Made]
    ) -> "Witness | None":
        if "provenance" not in request.attests:
            return None
        from lamina.build.witness import Witness

        name, text = context.dockerfile.name, context.dockerfile.text
        materials = tuple(each.materials for each in made)
        finished = self._parts.clock()
        return Witness(name, text, dict(context.sources or {}), materials, started, finished)

    def _carried_out(
        self,
        attempt: Attempt,
        plans: Sequence[tuple[Plan, Target]],
        imports: "Imports | None",
        telling: Telling,
        settle: Callable[[list[Made]], None],
    ) -> list[Made]:
        """What plans come to, settled, however many attempts it takes."""
        while True:
            try:
                return attempt.carry_out(plans, imports, settle)
            except NotBrought as error:
                if imports is not None:
                    imports.disappointed()
                telling(Notice(f"{error.brief}: the build begins again"))

    def plan(self, request: BuildRequest) -> Plan:
        """What a build would do; nothing is carried out."""
        target = targets_of(request, self._host)[0]
        with self._opened(request, ignore) as context:
            return self._plan(request, context, target)

    def check(self, request: BuildRequest) -> "Checked":
        """What the build checks say of a Dockerfile; nothing is built or pulled.

        Raises `DockerfileError` for what cannot be read at all.
        """
        with self._opened(request, ignore) as context:
            return self._asking().checked(request, context)

    def targets(self, request: BuildRequest) -> "Goals":
        """The stages that could be built; raises `DockerfileError`."""
        from lamina.dockerfile.targets import targets

        with self._opened(request, ignore) as context:
            return targets(context.dockerfile.text, filename=context.dockerfile.name)

    def outline(self, request: BuildRequest) -> "Outline":
        """What can be told to the build of a target; nothing is built, pulled or fetched.

        Raises `DockerfileError`, or `UsageError` for a target that there is not.
        """
        with self._opened(request, ignore) as context:
            return self._asking().outline(request, context)

    def _asking(self) -> "Asking":
        from lamina.build.asking import Asking

        return Asking(self._images, self._host)

    @contextmanager
    def _opened(self, request: BuildRequest, sink: Sink) -> Iterator[Opened]:
        """What a build reads from; what is not on this machine is there for the block's time."""
        source = request.context
        away = elsewhere(source) if isinstance(source, str) else source
        named = any(isinstance(each, Repository | Address) for each in request.contexts.values())
        if away is None and not named:
            with open_context(request, _folder_of(request)) as opened:
                yield opened
            return
        with (
            closing(self._bringer(request, sink)) as bringer,
            _brought(request, away, bringer) as opened,
        ):
            yield opened._replace(bring=bringer.folder, sources=bringer.sources)

    def _bringer(self, request: BuildRequest, sink: Sink) -> "Bringer":
        from lamina.build.brought import Bringer
        from lamina.build.fetch import Fetcher
        from lamina.build.gitsource import asking_of

        parts, places = self._parts, self._parts.mount_store()
        return Bringer(
            places.workplace,
            Fetcher(parts.ask, parts.cache, places.scratch, parts.clock, no_cache=True),
            lambda text: sink(Notice(text)),
            asking=asking_of(request, parts.proxies),
            keeps_git=request.build_args.get(_KEEP_GIT, "").lower() in ("1", "true"),
        )

    def _plan(self, request: BuildRequest, context: Opened, target: Target) -> Plan:
        return make_plan(
            request.stages or self._parsed(request, context),
            triggers=self._triggers,
            platform=platform_arguments(self._host, target.platform),
            build_args=request.build_args,
            target=request.target,
            wanted=target.wanted,
            outside=Outside(request.contexts, self._layouts, context.bring),
        )

    def _parsed(self, request: BuildRequest, context: Opened) -> dockerfile.Dockerfile:
        name, text = context.dockerfile.name, context.dockerfile.text
        if "error=" in (request.build_args.get(CHECK) or text):
            self._asking().refuse_warned(request, context)
        return dockerfile.parse(text, filename=name)

    def _from_store(self, reference: str, _platform: str) -> ImageID:
        return self._images.resolve(reference)

    def _triggers(self, reference: str, platform: str) -> tuple[str, ...]:
        found = self._images.config(self._bases(reference, platform))
        return found.config.on_build or ()

    def _settle(
        self, request: BuildRequest, names: tuple[Reference, ...], fit: int, made: list[Made]
    ) -> None:
        """See that what was built stays: one as an image of the store, what else is wanted held.

        Raises `NotBrought` for layers that have gone meanwhile.
        """
        for number, each in enumerate(made):
            if request.kept or not request.stored or number != fit:
                self._keep(each.config.top_chain)
        if request.stored:
            carried_out = sum(each.carried_out for each in made)
            annotations = said_of_manifest(request, made[fit].config)
            self._store(made[fit].config, names, carried_out, annotations)

    def _keep(self, chain: ChainID | None) -> None:
        if chain is not None and not self._layers.hold(chain):
            raise NotBrought(f"the layer {chain.short} was removed just now")

    def _store(
        self,
        config: ImageConfig,
        names: tuple[Reference, ...],
        carried_out: int,
        annotations: Mapping[str, str],
    ) -> None:
        """Store and name the image; nothing is written when all of it is so already."""
        if annotations or self._images.is_annotated(config.id):
            try:
                is_new = self._annotate(config, names, annotations)
            except ImageNotFound as error:
                raise NotBrought(error.brief) from error
            if is_new or carried_out or not self._layers.is_durable:
                self._layers.barrier()
            return
        if self._resolve(config.id) is None:
            self._keep(config.top_chain)
            self._images.create(config, names)
            self._layers.barrier()
            return
        moved = [name for name in names if self._resolve(str(name)) != config.id]
        try:
            for name in moved:
                self._images.tag(config.id, name)
        except ImageNotFound as error:
            raise NotBrought(error.brief) from error
        if carried_out or moved or not self._layers.is_durable:
            self._layers.barrier()

    def _resolve(self, text: str) -> ImageID | None:
        try:
            return self._images.resolve(text)
        except ImageNotFound:
            return None


def _imports(caches: Caches, telling: Telling) -> "Imports | None":
    if not caches.sources:
        return None
    from lamina.build.imported import Imports

    return Imports(caches.sources, telling.warn)


def _brought(
    request: BuildRequest, away: "Git | str | ByteStream | None", bringer: "Bringer"
) -> Opened:
    """The context, opened; where it is no archive it is the Dockerfile, and there is none."""
    if away is None:
        return open_context(request, _folder_of(request))
    brought = bringer.main(away)
    if brought.text is None:
        return open_brought(request, brought.path, brought.title)
    return open_context(request._replace(dockerfile=None, dockerfile_text=brought.text), None)


def _folder_of(request: BuildRequest) -> str | None:
    return request.context if isinstance(request.context, str) else None
