"""Checks of a stage's instructions, given what the stage knows at each. Pure."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Protocol

from lamina.dockerfile import mounts
from lamina.dockerfile.expand import expand_words
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Instruction,
    Label,
    Maintainer,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.lintwords import Finding, expanded, is_secret, near
from lamina.dockerfile.parser import Node
from lamina.errors import DockerfileError

_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")
_ALWAYS = ("SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE")
_REMOTE = ("http://", "https://", "git@", "ssh://", "git://")
_LEGACY = '"{0} key=value" should be used instead of legacy "{0} key value" format'


class _Ignores(Protocol):
    def excludes(self, path: str) -> bool:
        """Whether `path` is excluded."""


class StageRules:
    """One stage while it is looked at; `env` is None where the base's is not known."""

    def __init__(
        self,
        env: Mapping[str, str] | None,
        arguments: Mapping[str, str | None],
        build_args: Mapping[str, str],
        escape: str,
        ignore: _Ignores | None,
    ) -> None:
        self._env = dict(env or {})
        self._knows_base = env is not None
        self._globals = arguments
        self._build_args = build_args
        self._escape = escape
        self._ignore = ignore
        self._declared: set[str] = set()
        self._shell = self._workdir = False
        self._once: dict[str, Node] = {}

    def continued(self) -> "StageRules":
        """A stage that begins with this one."""
        env = self._env if self._knows_base else None
        made = StageRules(env, self._globals, self._build_args, self._escape, self._ignore)
        made._env = dict(self._env)
        made._declared = set(self._declared)
        made._shell, made._workdir = self._shell, self._workdir
        return made

    def look(self, node: Node, line: Instruction) -> list[Finding]:
        """What is to be said of one instruction; then the stage knows what it sets."""
        found = [
            *self._undefined(line),
            *self._keys(node, line),
            *self.secrets_of(line),
            *self._exposed(line),
            *self._ignored(line),
            *self._form(line),
        ]
        self._learn(line)
        return found

    def overruled(self, node: Node, line: Instruction) -> Iterator[Node]:
        """The earlier instruction of that name that this one makes useless."""
        if node.name in _ONCE and not isinstance(line, Arg):
            earlier = self._once.get(node.name)
            self._once[node.name] = node
            if earlier is not None:
                yield earlier

    # --- rules --------------------------------------------------------------------------

    def _undefined(self, line: Instruction) -> Iterator[Finding]:
        if not self._knows_base:
            return
        known = {*self._env, *self._declared, *_ALWAYS}
        missing = {
            name
            for text in _texts(line)
            for name in expanded(text, self._env, self._escape).undefined
        }
        for name in sorted(missing - known):
            yield Finding(
                "UndefinedVar", f"Usage of undefined variable '${name}'{near(name, known, '$')}"
            )

    def _keys(self, node: Node, line: Instruction) -> Iterator[Finding]:
        if isinstance(line, Env | Label) and node.args[2:3] == ("",):
            yield Finding("LegacyKeyValueFormat", _LEGACY.format(node.name))

    @staticmethod
    def secrets_of(line: Instruction) -> list[Finding]:
        """Names of ARG and ENV that say that a secret would be in the image."""
        if not isinstance(line, Arg | Env):
            return []
        kind = "ARG" if isinstance(line, Arg) else "ENV"
        what = "Do not use ARG or ENV instructions for sensitive data"
        return [
            Finding("SecretsUsedInArgOrEnv", f'{what} ({kind} "{pair[0]}")')
            for pair in line.pairs
            if is_secret(pair[0])
        ]

    def _exposed(self, line: Instruction) -> Iterator[Finding]:
        if not isinstance(line, Expose):
            return
        for operand in line.ports:
            for port in self._words(operand):
                protocol = port.partition("/")[2]
                if protocol != protocol.lower():
                    what = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    yield Finding("ExposeProtoCasing", what)
                if ":" in port:
                    yield Finding(
                        "ExposeInvalidFormat",
                        "EXPOSE instruction should not define an IP address or host-port mapping,"
                        f" found '{port}'",
                    )

    def _words(self, text: str) -> list[str]:
        try:
            return expand_words(text, self._env, escape=self._escape)
        except DockerfileError:
            return []

    def _ignored(self, line: Instruction) -> Iterator[Finding]:
        if self._ignore is None or not isinstance(line, Copy | Add):
            return
        if isinstance(line, Copy) and line.from_:
            return
        verb = "Copy" if isinstance(line, Copy) else "Add"
        for source in line.sources:
            path = expanded(source, self._env, self._escape).text
            clean = posixpath.normpath("/" + path).lstrip("/")
            if not path.startswith(_REMOTE) and self._ignore.excludes(clean):
                what = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
                yield Finding("CopyIgnoredFile", what)

    def _form(self, line: Instruction) -> Iterator[Finding]:
        if isinstance(line, Cmd | Entrypoint) and line.args and not line.is_exec:
            kind = "CMD" if isinstance(line, Cmd) else "ENTRYPOINT"
            if not self._shell:
                yield Finding(
                    "JSONArgsRecommended",
                    f"JSON arguments recommended for {kind} to prevent unintended behavior related"
                    " to OS signals",
                )
        elif isinstance(line, Maintainer):
            what = "Maintainer instruction is deprecated in favor of using label"
            yield Finding("MaintainerDeprecated", what)
        elif isinstance(line, Workdir) and not self._workdir:
            path = expanded(line.path, self._env, self._escape).text
            if not path.startswith("/"):
                yield Finding(
                    "WorkdirRelativePath",
                    f'Relative workdir "{path}" can have unexpected results if the base image'
                    " changes",
                )

    # --- what the stage knows from now on -----------------------------------------------

    def _learn(self, line: Instruction) -> None:
        if isinstance(line, Env):
            self._env |= {
                expanded(key, self._env, self._escape).text: self._value(value)
                for key, value in line.pairs
            }
        elif isinstance(line, Arg):
            for name, default in line.pairs:
                self._declare(name, default)
        elif isinstance(line, Shell):
            self._shell = True
        elif isinstance(line, Workdir):
            self._workdir = True

    def _declare(self, name: str, default: str | None) -> None:
        self._declared.add(name)
        value = self._build_args.get(name)
        if value is None:
            value = self._globals.get(name) if default is None else self._value(default)
        if value is not None:
            self._env[name] = value

    def _value(self, text: str) -> str:
        return expanded(text, self._env, self._escape).text


def _texts(line: Instruction) -> list[str]:
    """The texts of an instruction in which variables are replaced."""
    if isinstance(line, Copy | Add):
        return [*line.sources, line.target, line.chown, line.chmod]
    if isinstance(line, Env | Label):
        return [text for pair in line.pairs for text in pair]
    if isinstance(line, Arg):
        return [default for _, default in line.pairs if default is not None]
    if isinstance(line, Expose):
        return list(line.ports)
    if isinstance(line, Volume):
        return list(line.paths)
    if isinstance(line, Run):
        return [text for mount in line.mounts for text in mounts.values_of(mount)]
    if isinstance(line, User):
        return [line.user]
    if isinstance(line, Workdir):
        return [line.path]
    return [line.signal] if isinstance(line, Stopsignal) else []
