"""Walking a plan: its stages at once, step after step, each remembered or carried out.

Holds what only exists while a build goes on: the open context, the states of finished stages and
the events that say what happens. Decides nothing about keys, files or configs. A stage waits for
another one only at the step that needs it; steps are numbered by the plan, whatever their order.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lamina.build import titles
from lamina.build.api import Bases, Images
from lamina.build.contexts import Contexts
from lamina.build.crew import Crew, Piece
from lamina.build.interpret import Scope, interpret
from lamina.build.memory import Outcome, Place
from lamina.build.named import Folder
from lamina.build.near import perhaps_a_stage
from lamina.build.operation import Copy, Edit, MakeDirectory, Remote, Run
from lamina.build.origins import Origin
from lamina.build.past import Past
from lamina.build.plan import FromImage, FromStage, Plan, Stage, Step, origins_of
from lamina.build.sources import ChainTree
from lamina.build.statcache import StatCache
from lamina.build.state import State
from lamina.build.stop import NotBrought
from lamina.dockerfile import Copy as CopyLine
from lamina.dockerfile import Position
from lamina.errors import (
    BadInput,
    BuildError,
    DockerfileError,
    LaminaError,
    NotFound,
    RegistryError,
    RuntimeFailure,
    StepFailed,
    UsageError,
)
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID
from lamina.values.events import (
    Event,
    Sink,
    StepCached,
    StepCanceled,
    StepDone,
    StepErred,
    StepOutput,
    StepStarted,
)
from lamina.values.platform import Platform

if TYPE_CHECKING:
    from lamina.build.gitsource import GitTree
    from lamina.build.selection import Fetched, Inline
    from lamina.build.steps import Steps
    from lamina.dockerfile.giturl import Git

_NOTHING = StatCache(None)
_OF_A_STEP = (UsageError, NotFound, BadInput, BuildError, RegistryError, RuntimeFailure)


class Target(NamedTuple):
    """What a plan is carried out for, and which of a build's steps are its own.

    `wanted` is the platform as text where one was asked for ("": what a base has). Its steps have
    the numbers after `before`, of `total` (0: the plan's own); `title` tells them from those of
    other platforms.
    """

    platform: Platform
    wanted: str = ""
    before: int = 0
    total: int = 0
    title: str = ""


class Executor:
    """One build's walk over a plan, as pieces of work for a crew; used once."""

    def __init__(
        self,
        plan: Plan,
        *,
        steps: "Steps",
        crew: Crew,
        anew: Callable[[str], bool],
        images: Images,
        bases: Bases,
        contexts: Contexts,
        fetch: "Callable[[Remote], Fetched]",
        repositories: "Callable[[Git], GitTree]",
        scope: Scope,
        target: Target,
        sink: Sink,
    ) -> None:
        self._plan = plan
        self._steps = steps
        self._crew = crew
        self._anew = anew
        self._images = images
        self._bases = bases
        self._contexts = contexts
        self._fetch = fetch
        self._repositories = repositories
        self._scope = scope
        self._target = target
        self._total = target.total or plan.total
        self._sink = sink
        self._finished: dict[int, State] = {}
        self._carried_out: set[int] = set()
        self._places = {stage.number: _numbered(stage) for stage in plan.stages}
        self._first: dict[int, int] = {}
        number = target.before + 1
        for stage in plan.stages:
            self._first[stage.number] = number
            number += 1 + len(stage.steps)

    @property
    def carried_out(self) -> int:
        """How many steps were not known already."""
        return len(self._carried_out)

    def pieces(self) -> dict[int, Piece]:
        """The plan's stages, each by the number of its first step.

        They raise `DockerfileError`, `BuildError` with the place of the step, or a `StorageError`.
        """
        return {self._first[stage.number]: self._stage(stage) for stage in self._plan.stages}

    @property
    def state(self) -> State:
        """What the last stage came to, once all pieces are worked off."""
        return self._finished[self._plan.stages[-1].number]

    def _stage(self, stage: Stage) -> Iterator[int]:
        """Carry out a stage; gives the stages that it awaits."""
        first = self._first[stage.number]
        if isinstance(stage.base, FromStage):
            yield self._first[stage.base.number]
        state = self._begin(stage, first)
        if not isinstance(
            stage.base, FromStage
        ):  # else looked through with the stage it goes on from
            self._look_through(stage, state)
        for number, step in enumerate(stage.steps, first + 1):
            for name in origins_of(step.instruction):
                origin = stage.origins[name]
                if isinstance(origin, int):
                    yield self._first[origin]
            state = self._step(stage, step, state, number)
        self._finished[stage.number] = state

    def _look_through(self, stage: Stage, state: State) -> None:
        """Raise what is wrong with any instruction before the first one takes its time.

        Nothing is carried out, and warnings are left to the steps themselves. Stages that go on
        from this one are looked through with what it will have come to.
        """
        scope = self._scope._replace(warn=lambda _: None)
        for step in stage.steps:
            action = interpret(step.instruction, state, scope)
            if isinstance(action, Edit | MakeDirectory):
                state = action.state
        for other in self._plan.stages:
            if isinstance(other.base, FromStage) and other.base.number == stage.number:
                self._look_through(other, state.continued())

    # --- where a stage begins -----------------------------------------------------------

    def _begin(self, stage: Stage, number: int) -> State:
        title = titles.of_base(stage.position, self._plan.arguments)
        with self._reported(stage, title, stage.position.first, number) as report:
            with _placed(stage.position), self._contexts.watched():
                state = self._base(stage, number)
            report(Outcome(None, 0.0, 0, False, stage.reason))
        return state

    def _base(self, stage: Stage, number: int) -> State:
        base = stage.base
        if isinstance(base, FromStage):
            return self._finished[base.number].continued()
        if isinstance(base, FromImage):
            config = self._image(base.reference, stage.platform)
            self._check_platform(stage, base.reference, config)
            self._steps.keep(config.top_chain, f"the image {base.reference}")
            return State.over(config)
        if isinstance(base, Folder):
            return self._from_folder(stage, base, number)
        return self._scratch(stage)

    def _from_folder(self, stage: Stage, base: Folder, number: int) -> State:
        """A stage that begins with the files of a context, and with no config."""
        tree, stat_cache = self._contexts.folder(base)
        action = Copy((".",), "/", None, None, (), False, False, f"FROM {base.name}")
        place = self._place(stage, number, Past((), action.created_by))
        outcome = self._steps.copy(None, action, Origin(tree, None, stat_cache), place)
        return self._scratch(stage).stacked(action.created_by, outcome.diff_id, outcome.created)

    def _scratch(self, stage: Stage) -> State:
        wanted = _parse_platform(stage.platform) if stage.platform else self._target.platform
        return State.scratch(
            os_name=wanted.os, architecture=wanted.architecture, variant=wanted.variant
        )

    def _check_platform(self, stage: Stage, reference: str, config: ImageConfig) -> None:
        if not stage.platform:
            return
        wanted = _parse_platform(stage.platform).normalised()
        has = Platform(config.os, config.architecture, config.variant).normalised()
        if has[:2] != wanted[:2] or (wanted.variant and has.variant != wanted.variant):
            raise BuildError(f"the image {reference} is for {has}, not for {wanted}")

    # --- one step -----------------------------------------------------------------------

    def _step(self, stage: Stage, step: Step, state: State, number: int) -> State:
        position = step.instruction.position
        title = titles.of_step(step.instruction, state.environment)
        with self._reported(stage, title, position.first, number) as report:
            with _placed(position), self._contexts.watched():
                after, outcome = self._carry_out(stage, step, state, number)
            report(outcome)
        return after

    def _carry_out(
        self, stage: Stage, step: Step, state: State, number: int
    ) -> tuple[State, Outcome]:
        action = interpret(step.instruction, state, self._scope)
        if isinstance(action, Edit):
            return action.state, Outcome(None, 0.0, 0, False, "")
        place = self._place(stage, number, Past(state.told, action.created_by))
        after = state
        if isinstance(action, MakeDirectory):
            after = action.state
            outcome = self._steps.make_directory(state.chain, action, place)
        elif isinstance(action, Run):
            outcome = self._run(stage, action, state.chain, place, number)
        else:
            outcome = self._copy(stage, step, action, state.chain, place)
        if not outcome.cached:
            self._carried_out.add(number)
        return after.stacked(action.created_by, outcome.diff_id, outcome.created), outcome

    def _run(
        self, stage: Stage, action: Run, parent: ChainID | None, place: Place, number: int
    ) -> Outcome:
        read = [mount.from_ for mount in action.mounts if mount.kind in ("bind", "cache")]
        with ExitStack() as opened:
            origins = {name: self._origin(stage, name, opened) for name in read}
            for name, origin in origins.items():
                if name and origin.chain is None and isinstance(origin.tree, ChainTree):
                    raise BuildError(f"{origin.tree.title} is empty: there is nothing to mount")
            output = partial(self._output, number)
            return self._steps.run(parent, action, place, output, origins=origins)

    def _place(self, stage: Stage, number: int, past: Past) -> Place:
        """Where this step stands, for later builds of the same Dockerfile."""
        main = self._contexts.main
        name = f"{main.path}\0{main.dockerfile.name}\0{stage.title}\0{number - self._target.before}"
        if self._target.wanted:
            name += f"\0{self._target.wanted}"
        return Place(name, self._anew(stage.title), past)

    def _output(self, number: int, stream: int, data: bytes) -> None:
        self._sink(StepOutput(number, stream, data))

    def _copy(
        self, stage: Stage, step: Step, action: Copy, parent: ChainID | None, place: Place
    ) -> Outcome:
        line = step.instruction
        name = line.from_ if isinstance(line, CopyLine) else ""
        if action.repository is not None:
            return self._add_repository(action, action.repository, parent, place)
        action = action._replace(sources=tuple(map(self._here, action.sources)))
        with ExitStack() as opened:
            return self._steps.copy(parent, action, self._origin(stage, name, opened), place)

    def _here(self, source: "str | Inline | Remote | Fetched") -> "str | Inline | Fetched":
        if not isinstance(source, Remote):
            return source
        return self._crew.by_caller(lambda: self._fetch(source))

    def _add_repository(
        self, action: Copy, git: "Git", parent: ChainID | None, place: Place
    ) -> Outcome:
        tree = self._crew.by_caller(lambda: self._repositories(git))
        try:
            return self._steps.copy(parent, action, Origin(tree, tree.chain, _NOTHING), place)
        finally:
            tree.close()

    def _origin(self, stage: Stage, name: str, opened: ExitStack) -> Origin:
        """What an instruction reads that says `from` that name; nothing means the context."""
        if not name:
            return Origin(self._contexts.main_tree(), None, self._contexts.main_cache)
        origin = stage.origins[name]
        if isinstance(origin, Folder):
            tree, stat_cache = self._contexts.folder(origin)
            return Origin(tree, None, stat_cache)
        chain, title = self._chain_of(origin)
        tree_of_chain = opened.enter_context(closing(self._steps.open_chain(chain, title)))
        return Origin(tree_of_chain, chain, StatCache(None))

    def _chain_of(self, origin: int | str) -> tuple[ChainID | None, str]:
        if isinstance(origin, int):
            named = next(stage for stage in self._plan.stages if stage.number == origin)
            return self._finished[origin].chain, f"stage {named.title}"
        try:
            config = self._image(origin, self._target.wanted)
        except (NotFound, RegistryError) as error:
            raise perhaps_a_stage(error, origin, self._plan.names) from error
        self._steps.keep(config.top_chain, f"the image {origin}")
        return config.top_chain, f"the image {origin}"

    def _image(self, reference: str, platform: str) -> ImageConfig:
        image = self._crew.by_caller(lambda: self._bases(reference, platform))
        return self._images.config(image)

    # --- saying what happens ------------------------------------------------------------

    @contextmanager
    def _reported(
        self, stage: Stage, text: str, line: int, index: int
    ) -> Iterator[Callable[[Outcome], None]]:
        self._crew.check()
        began = time.monotonic()
        nameless = f"stage-{stage.number}" if len(self._plan.names) > 1 else ""
        title = " ".join(filter(None, (self._target.title, stage.name or nameless)))
        places, of = self._places[stage.number]
        place = places[index - self._first[stage.number]]
        self._sink(StepStarted(index, self._total, text, title, line, place, of))

        def report(outcome: Outcome) -> None:
            event: Event = StepDone(index, time.monotonic() - began, outcome.size, outcome.reason)
            if outcome.cached:
                self._sink(StepCached(index, outcome.reason))
            else:
                self._sink(event)

        try:
            yield report
        except LaminaError as error:
            if self._crew.is_stopping or isinstance(error, NotBrought):
                self._sink(StepCanceled(index))
            else:
                seconds = time.monotonic() - began
                said = StepErred(index, seconds, error.brief, error.excerpt, error.details)
                self._sink(said)
            raise
        except KeyboardInterrupt:
            self._sink(StepCanceled(index))
            raise


def _numbered(stage: Stage) -> tuple[tuple[int, ...], int]:
    """The numbers that people know a stage's steps by, and how many there are."""
    return stage.places, max(stage.places)


@contextmanager
def _placed(position: Position) -> Iterator[None]:
    """Give what a step raises its place in the Dockerfile; storage errors have none."""
    try:
        yield
    except DockerfileError as error:
        if error.line:
            raise
        raise position.error(error.brief, hint=error.hint) from error
    except StepFailed as error:
        raise StepFailed(
            _at(position, error),
            status=error.status,
            hint=error.hint,
            details=error.details,
            excerpt=position.excerpt,
        ) from error
    except _OF_A_STEP as error:
        raise BuildError(
            _at(position, error),
            hint=error.hint,
            details=error.details,
            excerpt=error.excerpt or position.excerpt,
        ) from error


def _at(position: Position, error: LaminaError) -> str:
    return f"{position.file}:{position.first}: {error.brief}"


def _parse_platform(text: str) -> Platform:
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise BuildError(f"{text!r} is no platform", hint="platforms look like linux/amd64")
    return Platform(*parts)
