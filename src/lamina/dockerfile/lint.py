"""The build checks: BuildKit's rules under BuildKit's names, over a file's text. Pure.

    check(text) -> Checked(warnings, the error that ends the file)

All stages are looked at. A base image's environment is asked for (`Bases`); where nobody knows it,
undefined variables of that stage are passed over, and so is the rule about its platform.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from lamina.dockerfile import checkoptions, directives
from lamina.dockerfile.checkoptions import CheckOptions
from lamina.dockerfile.instructions import Arg, From, Instruction
from lamina.dockerfile.lintstage import StageRules
from lamina.dockerfile.lintwhole import base_platform, from_rules, majority
from lamina.dockerfile.lintwords import Finding, described, env_of_scratch, expanded
from lamina.dockerfile.parser import Node, parse_nodes
from lamina.dockerfile.position import Position
from lamina.dockerfile.reading import read_instruction
from lamina.errors import DockerfileError

_URL = "https://docs.docker.com/go/dockerfile/rule/"


class Ignores(Protocol):
    """The ignore file, as far as a check needs it."""

    def excludes(self, path: str) -> bool:
        """Whether `path` is excluded."""


class Warned(NamedTuple):
    """One warning: the rule, what it says here, and where."""

    rule: str
    detail: str
    position: Position

    @property
    def url(self) -> str:
        """Where the rule is explained."""
        words = "".join(f"-{char.lower()}" if char.isupper() else char for char in self.rule)
        words = words.replace("-j-s-o-n", "-json").strip("-")
        return f"{_URL}{words}/"


class Checked(NamedTuple):
    """All warnings by line; the error at which reading ended; whether warnings are errors.

    `lines` are those of the file's `text`, which messages call `filename`.
    """

    warnings: tuple[Warned, ...]
    error: DockerfileError | None
    is_error: bool
    lines: tuple[str, ...]
    text: str
    filename: str


Bases = Callable[[str], Mapping[str, str] | None]
"""The environment of an image, by its name; None where it is not known."""
Platforms = Callable[[str], str | None]
"""The platform of an image (`linux/arm64`), by its name; None where it is not known."""


def check(
    text: str,
    *,
    filename: str = "Dockerfile",
    options: str | None = None,
    build_args: Mapping[str, str] | None = None,
    ignore: Ignores | None = None,
    bases: Bases = lambda _name: None,
    platforms: Platforms = lambda _name: None,
    platform: Mapping[str, str] | None = None,
) -> Checked:
    """Check a Dockerfile; `options` (BUILDKIT_DOCKERFILE_CHECK) replace what the file says.

    `ignore` is None where there is none, or where it brings anything back (`!`). Raises
    `DockerfileError` for what cannot be split into instructions at all.
    """
    given = directives.find("check", text)
    if options is None:
        options = given.value if given is not None else ""
    lines = text.removeprefix("\ufeff").split("\n")
    if given is not None and given.line:
        lines[given.line - 1] = ""  # it is for the whole file, and not for what stands below it
    lint = _Lint(
        lines,
        checkoptions.parse(options),
        build_args or {},
        ignore,
        bases,
        platforms,
        platform or {},
    )
    return lint.run(text, filename)


class _Lint:
    def __init__(
        self,
        lines: list[str],
        options: CheckOptions,
        build_args: Mapping[str, str],
        ignore: Ignores | None,
        bases: Bases,
        platforms: Platforms,
        platform: Mapping[str, str],
    ) -> None:
        self._lines = lines
        self._options = options
        self._build_args = build_args
        self._ignore = ignore
        self._bases = bases
        self._platforms = platforms
        self._globals: dict[str, str | None] = {**platform, "TARGETSTAGE": "default"}
        self._found: list[Warned] = []
        self._stages: dict[str, StageRules] = {}
        self._stage: StageRules | None = None

    def run(self, text: str, filename: str) -> Checked:
        parsed = parse_nodes(text, filename)
        error = None
        read: list[Node] = []
        try:
            for node in parsed.nodes:
                instruction = read_instruction(node)
                read.append(node)
                self._one(node, instruction, parsed.escape)
        except DockerfileError as failure:
            error = failure
        self._each(read)
        for caveat in parsed.warnings:
            if caveat.rule == "NoEmptyContinuation":
                line = self._lines[caveat.line - 1]
                place = Position(filename, caveat.line, caveat.line, line)
                self._add([Finding(caveat.rule, caveat.text)], place, CheckOptions())
        found = sorted(self._found, key=lambda each: (each.position.first, each.rule, each.detail))
        written = text.removesuffix("\n").split("\n")
        return Checked(tuple(found), error, self._options.is_error, tuple(written), text, filename)

    def _one(self, node: Node, instruction: Instruction, escape: str) -> None:
        local, description = checkoptions.above(self._lines, node.position.first)
        findings = described(instruction, description)
        if isinstance(instruction, From):
            findings += from_rules(node, instruction, self._globals, self._stages, escape)
            findings += self._begin(instruction, escape)
        elif self._stage is None and isinstance(instruction, Arg):
            self._declare(instruction, escape)
        if self._stage is not None and not isinstance(instruction, From):
            findings += self._stage.look(node, instruction)
            for earlier in self._stage.overruled(node, instruction):
                above, _ = checkoptions.above(self._lines, earlier.position.first)
                self._add([_several(node.name)], earlier.position, above)
        elif isinstance(instruction, Arg):
            findings += StageRules.secrets_of(instruction)
        self._add(findings, node.position, local)

    def _declare(self, line: Arg, escape: str) -> None:
        for name, default in line.pairs:
            known = {key: value or "" for key, value in self._globals.items()}
            value = None if default is None else expanded(default, known, escape).text
            self._globals.setdefault(name, None)
            if value is not None:
                self._globals[name] = value

    def _begin(self, line: From, escape: str) -> list[Finding]:
        values = {key: value or "" for key, value in self._globals.items()}
        values |= {key: self._build_args[key] for key in values if key in self._build_args}
        base = expanded(line.image, values, escape).text
        found: list[Finding] = []
        below = self._stages.get(base.lower())
        if below is not None:
            self._stage = below.continued()
        else:
            env = env_of_scratch() if base == "scratch" else self._bases(base)
            asked = expanded(line.platform, values, escape).text or values.get("TARGETPLATFORM", "")
            found = base_platform(base, asked, self._platforms(base))
            self._stage = StageRules(env, self._globals, self._build_args, escape, self._ignore)
        if line.name:
            self._stages[line.name] = self._stage
        return found

    def _each(self, nodes: Sequence[Node]) -> None:
        """What is told only when the whole file is known."""
        for node, finding in majority(nodes):
            local, _ = checkoptions.above(self._lines, node.position.first)
            self._add([finding], node.position, local)

    def _add(self, findings: Sequence[Finding], place: Position, local: CheckOptions) -> None:
        for rule, detail in findings:
            skipped = self._options.skips(rule) or local.skips(rule)
            if rule in _EXPERIMENTAL:
                tried = self._options.tries(rule)
                skipped = not tried or local.skips(rule) or rule in self._options.skip
            if not skipped:
                self._found.append(Warned(rule, detail, place))


_EXPERIMENTAL = ("InvalidDefinitionDescription",)


def _several(name: str) -> Finding:
    return Finding(
        "MultipleInstructionsDisallowed",
        f"Multiple {name} instructions should not be used in the same stage because only the last"
        " one will be used",
    )
