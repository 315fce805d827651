"""What can be told to the build of a target: its arguments, secrets and agents. Pure.

As BuildKit's outline: of the target's own stage and of all that it needs, each name once; global
arguments where a FROM uses one, or a stage that declares it without a default. Nothing is built,
so an argument's value is what is known without it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from lamina.build.plan import FromImage, FromScratch, FromStage, Plan, Stage
from lamina.dockerfile import Arg, Dockerfile, Env, From, Position, Run, mounts
from lamina.dockerfile.doccomments import description
from lamina.dockerfile.lintwords import env_of_scratch, expanded
from lamina.errors import DockerfileError


class Argument(NamedTuple):
    """A build argument, with the value that it has unless it is given another.

    One that a base's trigger declares stands nowhere in the file.
    """

    name: str
    value: str
    description: str
    position: Position | None


class Needed(NamedTuple):
    """A secret or an agent that a command asks for, by its ID; without it some can go on."""

    name: str
    is_required: bool
    position: Position | None


class Outline(NamedTuple):
    """What a target is called ("" for none) and can be told, each in the file's order."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Needed, ...]
    agents: tuple[Needed, ...]
    text: str


Environments = Callable[[str], Mapping[str, str] | None]
"""What is set in an image, by its name; None where it is not known."""


def outline(
    text: str,
    written: Dockerfile,
    plan: Plan,
    *,
    build_args: Mapping[str, str],
    environments: Environments,
) -> Outline:
    """The outline of a plan's target, of the Dockerfile that `text` is."""
    lines = text.removeprefix("\ufeff").split("\n")
    shared = _Globals(written, plan, build_args, lines)
    seen: dict[int, _Seen] = {}
    for stage in plan.stages:
        seen[stage.number] = _walk(stage, seen, shared, environments)
    target = plan.stages[-1]
    order = [seen[stage.number] for stage in reversed(plan.stages)]
    line = written.stages[target.number].base.position
    return Outline(
        target.name,
        description(lines, line.first, target.name) if target.name else "",
        _in_order([shared.arguments(each) for each in order]),
        _in_order([each.secrets for each in order]),
        _in_order([each.agents for each in order]),
        text,
    )


class _Seen:
    """One stage while it is looked at: what is set, declared, used and asked for so far."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.own: dict[str, Argument] = {}
        self.used: set[str] = set()  # names of global arguments
        self.secrets: dict[str, Needed] = {}
        self.agents: dict[str, Needed] = {}


class _Globals:
    """The global arguments: what each is, and which others its default is made of."""

    def __init__(
        self, written: Dockerfile, plan: Plan, build_args: Mapping[str, str], lines: list[str]
    ) -> None:
        self.build_args = build_args
        self.values = plan.arguments
        self.escape = plan.escape
        self.lines = lines
        self.froms = tuple(stage.base for stage in written.stages)
        self._known: dict[str, Argument] = {}
        self._deps: dict[str, frozenset[str]] = {}
        for line in written.args:
            for name, default in line.pairs:
                self._declare(line, name, default)

    def _declare(self, line: Arg, name: str, default: str | None) -> None:
        deps: frozenset[str] = frozenset()
        if default is not None and name not in self.build_args:
            used = expanded(default, self.values, self.escape).used
            deps = used - {name} | (self._deps.get(name, deps) if name in used else deps)
        self._deps[name] = deps
        self._known[name] = self.argument(line, name, self.values.get(name, ""))

    def argument(self, line: Arg, name: str, value: str) -> Argument:
        """An argument that is declared on a line."""
        said = description(self.lines, line.position.first, name)
        return Argument(name, value, said, line.position)

    def arguments(self, seen: _Seen) -> dict[str, Argument]:
        """Those of a stage: its own, and the global ones it uses."""
        found, waiting = dict(seen.own), sorted(seen.used)
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            waiting += self._deps.get(name, ())
            if name in self._known:
                found.setdefault(name, self._known[name])
        return found


def _walk(
    stage: Stage, before: Mapping[int, _Seen], shared: _Globals, environments: Environments
) -> _Seen:
    seen = _Seen(_environment(stage, before, environments))
    line: From = shared.froms[stage.number]
    for text in (line.image, line.platform):
        seen.used |= expanded(text, shared.values, shared.escape).used
    for step in stage.steps:
        instruction = step.instruction
        if isinstance(instruction, Env):
            values = [_value(text, seen, shared) for pair in instruction.pairs for text in pair]
            seen.env.update(zip(values[::2], values[1::2], strict=True))
        elif isinstance(instruction, Arg):
            _declare(instruction, seen, shared, is_here=not step.reason)
        elif isinstance(instruction, Run):
            _ask(instruction, seen, shared, is_here=not step.reason)
    return seen


def _environment(
    stage: Stage, before: Mapping[int, _Seen], environments: Environments
) -> Mapping[str, str]:
    match stage.base:
        case FromStage(number):
            return before[number].env
        case FromImage(reference):
            return environments(reference) or {}
        case FromScratch():
            return env_of_scratch()
    return {}


def _value(text: str, seen: _Seen, shared: _Globals) -> str:
    return expanded(text, seen.env, shared.escape).text


def _declare(line: Arg, seen: _Seen, shared: _Globals, *, is_here: bool) -> None:
    """ARG in a stage: a global one is pulled in where neither a default nor a value is given."""
    for name, default in line.pairs:
        value = shared.build_args.get(name)
        if value is None and default is not None:
            value = _value(default, seen, shared)
        if value is None and name in shared.values:
            seen.env[name] = shared.values[name]
            seen.used.add(name)
            continue
        if value is not None:
            seen.env[name] = value
        said = shared.argument(line, name, value or "")
        seen.own[name] = said if is_here else Argument(name, said.value, "", None)


def _ask(line: Run, seen: _Seen, shared: _Globals, *, is_here: bool) -> None:
    for text in line.mounts:
        try:
            mount = mounts.parse(text, lambda value: _value(value, seen, shared))
        except DockerfileError as error:
            raise line.position.error(error.brief, hint=error.hint, near=text) from None
        needed = Needed(mount.id, mount.required, line.position if is_here else None)
        if mount.kind == "secret":
            seen.secrets.setdefault(mount.id, needed)
        elif mount.kind == "ssh":
            seen.agents.setdefault(mount.id, needed)


_Named = TypeVar("_Named", Argument, Needed)


def _in_order(stages: Sequence[Mapping[str, _Named]]) -> tuple[_Named, ...]:
    """Each name once, as the first of the stages has it, by lines."""
    found: dict[str, _Named] = {}
    for each in stages:
        found = {**each, **found}
    return tuple(sorted(found.values(), key=_place))


def _place(each: Argument | Needed) -> tuple[int, str]:
    return each.position.first if each.position is not None else 0, each.name
