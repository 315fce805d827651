"""What one instruction comes to in the state of its stage: an edit, or an operation. Pure.

Variables are expanded here, with one snapshot per instruction, and what is not supported yet is
refused by name. A table maps each kind of instruction to its reading; nothing is looked up in a
tree.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina import dockerfile as written
from lamina.build import history
from lamina.build.near import suggestion
from lamina.build.operation import (
    PROXY_NAMES,
    Action,
    Copy,
    Edit,
    MakeDirectory,
    Remote,
    Run,
    Script,
    environment,
    proxy_variables,
)
from lamina.build.selection import Inline
from lamina.build.state import State
from lamina.dockerfile.heredoc import chomped, parse_opening
from lamina.errors import DockerfileError
from lamina.spec.strictjson import Json

if TYPE_CHECKING:  # what few Dockerfiles have is loaded by who reads it
    from lamina.dockerfile.chmod import Chmod
    from lamina.dockerfile.giturl import Git
    from lamina.dockerfile.mounts import Mount

_PIPES = "/dev/pipes/"  # where BuildKit shows a here-document that is a program
INSECURE = "security.insecure"


class Scope(NamedTuple):
    """What is the same for all instructions of a build.

    `globals` are the global arguments, which an ARG without default takes over; `network` is
    the build's own; `warn` takes sentences; `allow` is what RUN may have beyond the usual.
    """

    build_args: Mapping[str, str]
    globals: Mapping[str, str]
    escape: str
    network: str
    warn: Callable[[str], None]
    allow: frozenset[str] = frozenset()


def interpret(instruction: written.Instruction, state: State, scope: Scope) -> Action:
    """The instruction's action; raises `DockerfileError` with its place."""
    try:
        reader = _READERS[type(instruction)]
        return reader(_Words(instruction, state, scope), instruction)
    except DockerfileError as error:
        if error.line:
            raise
        raise instruction.position.error(error.brief, hint=error.hint) from None


class _Words:
    """Expansion in one state: every word of an instruction sees the same variables."""

    def __init__(self, instruction: written.Instruction, state: State, scope: Scope) -> None:
        self.state = state
        self.scope = scope
        self.position = instruction.position
        self._variables = state.environment

    def one(self, text: str, *, raw: bool = False) -> str:
        """The text with its variables, and unless `raw` without its quotes."""
        found = written.expand(text, self._variables, escape=self.scope.escape, raw=raw)
        self._warn(found.undefined)
        return found.text

    def several(self, text: str) -> list[str]:
        """The words that a text comes to."""
        return written.expand_words(text, self._variables, escape=self.scope.escape)

    def pairs(self, pairs: written.instructions.Pairs) -> list[tuple[str, str]]:
        """Keys and values, both expanded."""
        return [(self.one(key), self.one(value)) for key, value in pairs]

    def _warn(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            near = suggestion(name, self._variables)
            self.scope.warn(
                f"line {self.position.first}: ${name} is not defined here"
                + (f"; {near}" if near else "")
            )

    def refuse(self, what: str) -> DockerfileError:
        """What to raise for something that is not supported yet."""
        return self.position.error(f"{what} is not supported yet")


# --- instructions that edit the config --------------------------------------------------


def _env(words: _Words, line: written.Env) -> Action:
    pairs = words.pairs(line.pairs)
    text = "ENV " + " ".join(f"{key}={value}" for key, value in pairs)
    return Edit(words.state.with_env(pairs).noted(text))


def _label(words: _Words, line: written.Label) -> Action:
    pairs = words.pairs(line.pairs)
    text = "LABEL " + " ".join(f"{key}={value}" for key, value in pairs)
    return Edit(words.state.with_labels(pairs).noted(text))


def _arg(words: _Words, line: written.Arg) -> Action:
    state, shown = words.state, []
    for name, default in line.pairs:
        value = _argument_value(words, name, default)
        if value is not None:
            state = state.with_argument(name, value)
        shown.append(name if value is None or name in PROXY_NAMES else f"{name}={value}")
    return Edit(state.noted("ARG " + " ".join(shown)))


def _argument_value(words: _Words, name: str, default: str | None) -> str | None:
    """The command line beats the default here, which beats the global value."""
    if name in words.scope.build_args:
        return words.scope.build_args[name]
    if default is not None:
        return words.one(default)
    return words.scope.globals.get(name)


def _user(words: _Words, line: written.User) -> Action:
    user = words.one(line.user)
    return Edit(words.state.edited(User=user).noted(f"USER {user}"))


def _expose(words: _Words, line: written.Expose) -> Action:
    from lamina.dockerfile import ports

    found: list[str] = []
    for operand in sorted(line.ports):
        for word in words.several(operand):
            found.extend(ports.unrolled(word))
    text = f"EXPOSE {history.bare(found)}"
    return Edit(words.state.with_keys("ExposedPorts", found).noted(text))


def _volume(words: _Words, line: written.Volume) -> Action:
    paths = [words.one(path).strip() for path in line.paths]
    if not all(paths):
        raise DockerfileError("a VOLUME comes to nothing")
    return Edit(words.state.with_keys("Volumes", paths).noted(f"VOLUME {history.bare(paths)}"))


def _cmd(words: _Words, line: written.Cmd) -> Action:
    argv = _argv(words.state, line.args, line.is_exec)
    return Edit(words.state.with_command(argv).noted(f"CMD {history.quoted(map(str, argv))}"))


def _entrypoint(words: _Words, line: written.Entrypoint) -> Action:
    argv = _argv(words.state, line.args, line.is_exec)
    text = f"ENTRYPOINT {history.quoted(map(str, argv))}"
    return Edit(words.state.with_entrypoint(argv).noted(text))


def _argv(state: State, args: tuple[str, ...], is_exec: bool) -> list[Json]:
    return list(args) if is_exec else [*state.shell, *args]


def _shell(words: _Words, line: written.Shell) -> Action:
    text = f"SHELL {history.bare(line.args)}"
    return Edit(words.state.edited(Shell=list(line.args)).noted(text))


def _healthcheck(words: _Words, line: written.Healthcheck) -> Action:
    from lamina.dockerfile import health

    options = [f"--{name}={text}" for name, text in line.options]
    text = " ".join(["HEALTHCHECK", *options, line.kind, *line.args])
    return Edit(words.state.edited(Healthcheck=health.config_of(line)).noted(text))


def _stopsignal(words: _Words, line: written.Stopsignal) -> Action:
    from lamina.dockerfile import stopsignal

    text = stopsignal.checked(words.one(line.signal))
    return Edit(words.state.edited(StopSignal=text).noted(f"STOPSIGNAL {text}"))


def _onbuild(words: _Words, line: written.Onbuild) -> Action:
    return Edit(words.state.with_trigger(line.text))  # no line of history, as BuildKit


def _maintainer(words: _Words, line: written.Maintainer) -> Action:
    return Edit(words.state.with_author(line.name).noted(f"MAINTAINER {line.name}"))


# --- instructions that make layers ------------------------------------------------------


def _workdir(words: _Words, line: written.Workdir) -> Action:
    path = words.state.absolute(words.one(line.path)).rstrip("/") or "/"
    state = words.state.edited(WorkingDir=path)
    text = f"WORKDIR {path}"
    if path == "/":
        return Edit(state.noted(text))
    return MakeDirectory(path, words.state.user, text, state)


def _run(words: _Words, line: written.Run) -> Action:
    insecure = _is_insecure(words, line.security)
    if line.devices:
        raise words.refuse("RUN --device")
    state = words.state
    script = _program(line)
    if script is not None:
        argv: tuple[str, ...] = (script.path,)
    else:
        argv = line.args if line.is_exec else (*state.shell, _script(line))
    return Run(
        argv=argv,
        env=environment(state),
        proxies=proxy_variables(words.scope.build_args, state),
        cwd=state.workdir,
        user=state.user,
        network=_network(line.network, words.scope.network),
        created_by=history.run(_shown_arguments(state), argv),
        mounts=tuple(_mount(words, text) for text in line.mounts),
        script=script,
        insecure=insecure,
    )


def _is_insecure(words: _Words, security: str) -> bool:
    if security not in ("", "sandbox", "insecure"):
        raise DockerfileError(
            f"security {security!r} is not valid for RUN", hint="it is sandbox or insecure"
        )
    if security == "insecure" and INSECURE not in words.scope.allow:
        raise DockerfileError(
            "RUN --security=insecure has nearly all rights on this machine, and is not allowed",
            hint=f"build with --allow {INSECURE}, if you trust the Dockerfile and its base",
        )
    return security == "insecure"


def _mount(words: _Words, text: str) -> "Mount":
    """The mount with its variables expanded and its target absolute, links not looked at."""
    from lamina.dockerfile import mounts

    mount = mounts.parse(text, words.one)
    if not mount.target:
        return mount
    target = words.state.absolute(mount.target).rstrip("/")
    if not target:
        raise DockerfileError(f"invalid mount target {mount.target!r}: it is the root")
    return mount._replace(target=target)


def _shown_arguments(state: State) -> list[tuple[str, str]]:
    """The ARGs that history may tell: a proxy's address can hold a password."""
    return [(name, value) for name, value in state.arguments if name not in PROXY_NAMES]


def _network(asked: str, of_build: str) -> str:
    """`default` is the build's own network; and that is the host's, unless it is given."""
    name = of_build if asked in ("", "default") else asked
    if name in ("default", "host", ""):
        return "host"
    if name != "none":
        raise DockerfileError(
            f"there is no network {name!r} for RUN", hint="use default, host or none"
        )
    return name


def _script(line: written.Run) -> str:
    """What the shell is given: the line, or the body of the here-document that stands for it."""
    (text,) = line.args
    if not line.heredocs:
        return text
    if _stands_alone(line):
        return _body(line.heredocs[0])
    bodies = "".join(f"{each.content}{each.name}\n" for each in line.heredocs)
    return f"{text}\n{bodies}"


def _program(line: written.Run) -> Script | None:
    """The here-document that is the whole command and names its own interpreter."""
    if line.is_exec or not _stands_alone(line):
        return None
    body = _body(line.heredocs[0])
    if not body.startswith("#!"):
        return None
    name = line.heredocs[0].name.replace("/", "_")
    return Script(f"{_PIPES}{name}", body.encode("utf-8", "surrogateescape"))


def _stands_alone(line: written.Run) -> bool:
    opened = parse_opening(line.args[0].strip())
    return opened is not None and len(line.heredocs) == 1 and not opened.fd


def _body(heredoc: written.Heredoc) -> str:
    return chomped(heredoc.content) if heredoc.chomp else heredoc.content


def _copy(words: _Words, line: written.Copy) -> Action:
    return _files(words, line, "COPY", parents=line.parents)


def _add(words: _Words, line: written.Add) -> Action:
    return _files(
        words,
        line,
        "ADD",
        unpacks=line.unpack is not False,
        unpacks_fetched=line.unpack is True,
        checksum=words.one(line.checksum),
        keeps_git=line.keep_git_dir,
    )


def _files(
    words: _Words,
    line: "written.Copy | written.Add",
    keyword: str,
    *,
    parents: bool = False,
    unpacks: bool = False,
    unpacks_fetched: bool = False,
    checksum: str = "",
    keeps_git: bool = False,
) -> Action:
    sources = [words.one(source) for source in line.sources]
    read: Sequence[str | Remote] = sources
    repository: Git | None = None
    if keyword == "ADD":
        from lamina.build.adding import added

        read, repository = added(sources, checksum, keeps_git=keeps_git)
    target = words.one(line.target)
    chown, chmod = words.one(line.chown), words.one(line.chmod)
    inline = tuple(_inline(words, each) for each in line.heredocs)
    flags = [
        *(["--parents"] if parents else []),
        *([f"--chown={chown}"] if chown else []),
        *([f"--chmod={chmod}"] if chmod else []),
        *([f"--checksum={checksum}"] if checksum else []),
        *(["--keep-git-dir"] if keeps_git else []),
        *([f"--exclude={each}" for each in line.excludes]),
    ]
    shown = [keyword, *flags, *sources, *(f"<<{each.name}" for each in inline), target]
    return Copy(
        sources=(*read, *inline) if repository is None else (repository.subdir or ".",),
        destination=words.state.absolute(target),
        owner=chown or None,
        mode=_mode(chmod) if chmod else None,
        exclude=line.excludes,
        parents=parents,
        unpacks=unpacks and repository is None,
        created_by=history.copy(" ".join(shown)),
        link=line.link,
        unpacks_fetched=unpacks_fetched,
        repository=repository,
    )


def _mode(text: str) -> "Chmod":
    from lamina.dockerfile import chmod

    return chmod.parse(text)


def _inline(words: _Words, body: written.Heredoc) -> Inline:
    content = _body(body)
    if body.expand:
        content = words.one(content, raw=True)
    return Inline(body.name, content.encode("utf-8", "surrogateescape"))


_READERS: dict[type, Callable[..., Action]] = {
    written.Add: _add,
    written.Arg: _arg,
    written.Cmd: _cmd,
    written.Copy: _copy,
    written.Entrypoint: _entrypoint,
    written.Env: _env,
    written.Expose: _expose,
    written.Healthcheck: _healthcheck,
    written.Label: _label,
    written.Maintainer: _maintainer,
    written.Onbuild: _onbuild,
    written.Run: _run,
    written.Shell: _shell,
    written.Stopsignal: _stopsignal,
    written.User: _user,
    written.Volume: _volume,
    written.Workdir: _workdir,
}
