"""From a Dockerfile to the stages and steps that a target needs, each with the reason why. Pure.

Everything is decided that can be without looking at an image's tree: which stages are reached
(by FROM and by COPY --from), where each begins, which triggers of its base run first, and the
global arguments. Variables inside a stage are expanded later, when the base's own are known.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from lamina.build.named import Folder
from lamina.build.near import perhaps_a_stage, suggestion
from lamina.build.operation import PROXY_NAMES
from lamina.build.outside import NOTHING, Outside
from lamina.dockerfile import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    From,
    Instruction,
    Onbuild,
    Position,
    Run,
    Workdir,
    expand,
    parse_fragment,
)
from lamina.errors import (
    DockerfileError,
    ImageNotFound,
    InvalidReference,
    RegistryError,
    UsageError,
)
from lamina.values.reference import Reference

SCRATCH = "scratch"
_PREDEFINED = PROXY_NAMES | {"SOURCE_DATE_EPOCH"}


class FromScratch(NamedTuple):
    """A stage that begins with nothing."""


class FromImage(NamedTuple):
    """A stage that begins with an image of the store."""

    reference: str


class FromStage(NamedTuple):
    """A stage that begins where an earlier one, of that number, ended."""

    number: int


Triggers: TypeAlias = Callable[[str, str], tuple[str, ...]]
"""The ONBUILD texts of an image, by its name and platform."""
Base: TypeAlias = FromScratch | FromImage | FromStage | Folder


class Step(NamedTuple):
    """One instruction to be carried out; `reason` when it does not stand in the stage itself."""

    instruction: Instruction
    reason: str = ""

    @property
    def counts(self) -> bool:
        """Whether it makes a layer, as BuildKit counts: whatever else only edits the config."""
        return isinstance(self.instruction, Add | Copy | Run | Workdir)


class Stage(NamedTuple):
    """One stage: its number, where it begins, what it does, and why it is needed.

    `origins` says for each `from` of a COPY or a mount of the stage, by its text, what it names:
    the number of an earlier stage, an image, or a named context.
    """

    number: int
    name: str
    base: Base
    platform: str
    position: Position
    steps: tuple[Step, ...]
    origins: Mapping[str, int | str | Folder]
    reason: str

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or str(self.number)

    @property
    def places(self) -> tuple[int, ...]:
        """The numbers of FROM and of each step as BuildKit gives them; 0 where it gives none."""
        counting = (
            isinstance(self.base, FromImage | Folder),
            *(each.counts for each in self.steps),
        )
        so_far = accumulate(map(int, counting))
        return tuple(
            number if counts else 0 for number, counts in zip(so_far, counting, strict=True)
        )


class Plan(NamedTuple):
    """The needed stages in order, the last of them the target.

    `arguments` are the global ones that have a value; `warnings` what looks like a mistake;
    `names` those of all stages that the Dockerfile has, needed or not ("" for one without).
    """

    stages: tuple[Stage, ...]
    arguments: Mapping[str, str]
    escape: str
    warnings: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def total(self) -> int:
        """How many steps there are, each FROM included."""
        return sum(1 + len(stage.steps) for stage in self.stages)


def make_plan(
    dockerfile: Dockerfile,
    *,
    triggers: Triggers,
    platform: Mapping[str, str],
    build_args: Mapping[str, str],
    target: str | None = None,
    outside: Outside = NOTHING,
    wanted: str = "",
) -> Plan:
    """Plan what `target` (the last stage when None) needs.

    `platform` holds the automatic platform arguments, `wanted` is the platform of bases whose
    FROM names none ("": any); what is `outside` stands for stages and images of its names. Raises
    `DockerfileError` with its place, `UsageError` for an unknown target, and what `triggers` and
    `outside` raise.
    """
    return _Planner(dockerfile, triggers, platform, build_args, outside, wanted).plan(target)


class _Planner:
    def __init__(
        self,
        dockerfile: Dockerfile,
        triggers: Triggers,
        platform: Mapping[str, str],
        build_args: Mapping[str, str],
        outside: Outside,
        wanted: str,
    ) -> None:
        self._wanted = wanted
        self._outside = outside
        self._written = dockerfile
        self._triggers = triggers
        self._build_args = build_args
        self._platform = platform
        self._warnings = [f"line {warning.line}: {warning.text}" for warning in dockerfile.warnings]
        self._arguments: dict[str, str] = {}
        self._planned: dict[int, Stage] = {}

    def plan(self, target: str | None) -> Plan:
        wanted = self._target(target)
        self._arguments = self._global_arguments(target)
        self._warn_of_undeclared()
        self._reach(wanted, "the target")
        stages = tuple(self._planned[index] for index in sorted(self._planned))
        return Plan(
            stages,
            self._arguments,
            self._written.escape,
            tuple(self._warnings),
            self._names(len(self._written.stages)),
        )

    def _target(self, target: str | None) -> int:
        last = len(self._written.stages) - 1
        if target is None:
            return last
        number = self._by_name(target, last + 1)
        if number is None and target.isascii() and target.isdigit() and int(target) <= last:
            number = int(target)
        if number is None:
            names = self._names(last + 1)
            known = ", ".join(filter(None, names))
            raise UsageError(
                f"the Dockerfile has no stage {target!r}",
                hint=suggestion(target, names) or (f"it has {known}" if known else ""),
            )
        return number

    def _names(self, before: int) -> tuple[str, ...]:
        """Those of the first `before` stages."""
        return tuple(stage.name for stage in self._written.stages[:before])

    def _by_name(self, name: str, before: int) -> int | None:
        """The last stage of that name among the first `before` ones."""
        for number in range(before - 1, -1, -1):
            if self._written.stages[number].name == name.lower():
                return number
        return None

    def _global_arguments(self, target: str | None) -> dict[str, str]:
        scope = {**self._platform, "TARGETSTAGE": target or "default"}
        scope |= {key: value for key, value in self._build_args.items() if key in scope}
        for arg in self._written.args:
            before = dict(scope)
            for name, default in arg.pairs:
                if name in self._build_args:
                    scope[name] = self._build_args[name]
                elif default is not None:
                    scope[name] = self._expanded(default, arg.position, before)
        return scope

    def _expanded(self, text: str, position: Position, scope: Mapping[str, str]) -> str:
        try:
            found = expand(text, scope, escape=self._written.escape)
        except DockerfileError as error:
            raise position.error(error.brief, near=text) from None
        for name in sorted(found.undefined):
            near = suggestion(name, scope)
            self._warnings.append(
                f"line {position.first}: ${name} is not defined here"
                + (f"; {near}" if near else "")
            )
        return found.text

    def _warn_of_undeclared(self) -> None:
        declared = {name for arg in self._every_arg() for name, _ in arg.pairs}
        known = declared | _PREDEFINED | self._arguments.keys()
        for name in sorted(self._build_args):
            if name not in known and not name.startswith("BUILDKIT_"):
                near = suggestion(name, declared)
                self._warnings.append(
                    f"the build argument {name} is declared nowhere" + (f"; {near}" if near else "")
                )

    def _every_arg(self) -> Iterator[Arg]:
        yield from self._written.args
        for stage in self._written.stages:
            for instruction in stage.instructions:
                if isinstance(instruction, Arg):
                    yield instruction

    # --- reaching stages ----------------------------------------------------------------

    def _reach(self, wanted: int, reason: str) -> None:
        """Plan a stage and all that it needs; what is needed stands before it in the file."""
        waiting = [(wanted, reason)]
        while waiting:
            number, why = waiting.pop()
            if number in self._planned:
                continue
            stage = self._stage(number, why)
            self._planned[number] = stage
            if isinstance(stage.base, FromStage):
                waiting.append((stage.base.number, f"stage {stage.title} begins with it"))
            read = [each for each in stage.origins.values() if isinstance(each, int)]
            waiting += [(each, f"stage {stage.title} reads from it") for each in read]

    def _stage(self, number: int, reason: str) -> Stage:
        written = self._written.stages[number]
        line: From = written.base
        base = self._base(number, line)
        platform = self._expanded(line.platform, line.position, self._arguments) or self._wanted
        steps = (*self._triggered(number, line, base, platform), *map(Step, written.instructions))
        return Stage(
            number,
            written.name,
            base,
            platform,
            line.position,
            steps,
            self._origins(number, steps),
            reason,
        )

    def _base(self, number: int, line: From) -> Base:
        name = self._expanded(line.image, line.position, self._arguments)
        if not name:
            raise line.position.error(
                f"the base {line.image!r} comes to nothing",
                hint="give its ARG a default or a --build-arg",
                near=line.image,
            )
        if name == SCRATCH:
            return FromScratch()
        given = self._outside.given(name)
        if given is not None:
            return FromImage(given) if isinstance(given, str) else given
        earlier = self._by_name(name, number)
        return _image(name, line) if earlier is None else FromStage(earlier)

    def _triggered(self, number: int, line: From, base: Base, platform: str) -> Iterator[Step]:
        """The base's triggers, as the stage's first steps."""
        if isinstance(base, FromImage):
            texts = self._of_image(base.reference, platform, line.position, self._names(number))
            source = base.reference
        elif isinstance(base, FromStage):
            below = self._written.stages[base.number]
            texts = tuple(each.text for each in below.instructions if isinstance(each, Onbuild))
            source = f"stage {below.name}"
        else:
            return
        for text in texts:
            yield Step(
                parse_fragment(text, filename=f"ONBUILD of {source}"), f"ONBUILD of {source}"
            )

    def _of_image(
        self, reference: str, platform: str, position: Position, stages: tuple[str, ...]
    ) -> tuple[str, ...]:
        try:
            return self._triggers(reference, platform)
        except UsageError as error:  # a platform that is none
            raise position.error(error.brief, hint=error.hint, near=platform) from error
        except (ImageNotFound, RegistryError) as error:
            meant = perhaps_a_stage(error, reference, stages)
            brief = f"{position.file}:{position.first}: {meant.brief}"
            raise type(meant)(brief, hint=meant.hint, excerpt=position.excerpt) from error

    # --- what COPY --from and mounts name -------------------------------------------------

    def _origins(self, number: int, steps: tuple[Step, ...]) -> dict[str, int | str | Folder]:
        return {
            name: self._origin(number, step.instruction.position, name)
            for step in steps
            for name in origins_of(step.instruction)
        }

    def _origin(self, number: int, position: Position, name: str) -> int | str | Folder:
        if "$" in name:
            raise position.error(
                "variables are not expanded in --from",
                hint="define a stage with FROM ... AS and copy from it",
                near=name,
            )
        given = self._outside.given(name)
        if given is not None:
            return given
        if name.isascii() and name.isdigit():
            found: int | None = int(name)
        else:
            found = self._by_name(name, number)
            if found is None:
                found = self._by_name(name, len(self._written.stages))
        if found is not None and found >= number:
            raise self._not_earlier(number, position, name, found)
        return name if found is None else found

    def _not_earlier(
        self, number: int, position: Position, name: str, found: int
    ) -> DockerfileError:
        title = self._written.stages[number].name or str(number)
        if found == number:
            return position.error(f"stage {title} cannot copy from itself", near=name)
        there = "comes later" if found < len(self._written.stages) else "does not exist"
        return position.error(
            f"stage {title} cannot copy from stage {name}, which {there}", near=name
        )


def _mounted(texts: tuple[str, ...]) -> list[str]:
    if not texts:
        return []
    from lamina.dockerfile import mounts  # of few Dockerfiles

    return [mounts.origin_of(text) for text in texts]


def _image(name: str, line: From) -> FromImage:
    """The image of that name; raises `DockerfileError` where nothing can be called so."""
    try:
        Reference.parse(name)
    except InvalidReference as error:
        hint = "give its ARG a default or a --build-arg" if "$" in line.image else error.hint
        raise line.position.error(error.brief, hint=hint, near=line.image) from None
    return FromImage(name)


def origins_of(instruction: Instruction) -> list[str]:
    """The stages, contexts and images that an instruction reads from, as it names them."""
    if isinstance(instruction, Copy):
        names = [instruction.from_]
    elif isinstance(instruction, Run):
        names = _mounted(instruction.mounts)
    else:
        names = []
    return [name for name in names if name]
