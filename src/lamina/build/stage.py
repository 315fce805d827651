"""The builder as typed values: a stage, and what each call adds to it.

    build = Stage.from_image("debian").run("apt-get install -y gcc").copy("src", "/src")
    app = Stage.from_scratch().copy("/src/app", "/app", from_=build).cmd(["/app"])

A call means what the instruction of its name means in a Dockerfile, and becomes that instruction
as a value: the same plan, the same cache, the same image. No text is written or read. In words
where a Dockerfile replaces variables (`$NAME`, `${NAME:-x}`) they are replaced here, too; quotes
and backslashes are plain characters, and `\\$` is a dollar sign.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from lamina import dockerfile as written
from lamina.build.mountwish import Mount
from lamina.build.quoting import quoted
from lamina.dockerfile.position import Position
from lamina.errors import DockerfileError, UsageError

Words: TypeAlias = str | Sequence[str]
"""A command: one text for the shell, or the words of its own."""
_NAME = re.compile(r"[a-z][a-z0-9-_.]*", re.ASCII)
_SCRATCH = "scratch"
_BODY = "EOF"  # what a file given as text is called in an image's history


class Call(NamedTuple):
    """One call as its instruction; `origin` and the mounts' own say what it reads from."""

    instruction: written.Instruction
    origin: "Stage | str | None" = None
    mounts: tuple[Mount, ...] = ()


class Stage(NamedTuple):
    """A stage of a build, immutable: every call gives a new one, and the old one stays.

    `base` is an image's name or another stage. Begin with `from_image`, `from_stage` or
    `from_scratch`. Wrong arguments raise `UsageError` at once; what only the build can tell raises
    `DockerfileError` or `BuildError` then, with the place of the call.
    """

    base: "str | Stage"
    position: Position
    name: str = ""
    platform: str = ""
    calls: tuple[Call, ...] = ()

    # --- where a stage begins -----------------------------------------------------------

    @classmethod
    def from_image(cls, image: str, *, name: str = "", platform: str = "") -> "Stage":
        """Begin with an image, for a platform (`os/architecture`; default: this machine's)."""
        _need(image, "from_image", "the name of an image")
        place = _place("from_image", image)
        return cls(image, place, _named(name, "from_image"), platform)

    @classmethod
    def from_stage(cls, stage: "Stage", *, name: str = "") -> "Stage":
        """Begin where another stage ends, as `FROM stage` does."""
        return cls(stage, _place("from_stage", stage.name), _named(name, "from_stage"))

    @classmethod
    def from_scratch(cls, *, name: str = "", platform: str = "") -> "Stage":
        """Begin with nothing."""
        return cls(_SCRATCH, _place("from_scratch"), _named(name, "from_scratch"), platform)

    def named(self, name: str) -> "Stage":
        """The same, called `name` in messages and by `no_cache_stages`."""
        return self._replace(name=_named(name, "named"))

    def _with(self, instruction: written.Instruction) -> "Stage":
        return self._replace(calls=(*self.calls, Call(instruction)))

    # --- what makes layers --------------------------------------------------------------

    def run(
        self,
        command: Words,
        *,
        mounts: Sequence[Mount] = (),
        network: Literal["default", "host", "none"] = "default",
        insecure: bool = False,
    ) -> "Stage":
        """Run a command: a text in the stage's shell, a text that begins with `#!` as a program,
        or words as they are.

        `insecure` gives it nearly all rights, where the build allows `security.insecure`.
        """
        args, is_exec = _command(command, "run")
        bodies: tuple[written.Heredoc, ...] = ()
        if not is_exec and args[0].startswith("#!"):
            bodies, args = (_body(args[0] + "\n"),), (f"<<{_BODY}",)
        line = written.Run(
            _place("run", command),
            args,
            is_exec,
            bodies,
            (),
            "" if network == "default" else network,
            "insecure" if insecure else "",
        )
        return self._replace(calls=(*self.calls, Call(line, None, tuple(mounts))))

    def copy(
        self,
        sources: Words,
        target: str,
        *,
        from_: "Stage | str | None" = None,
        chown: str = "",
        chmod: str = "",
        link: bool = False,
        parents: bool = False,
        exclude: Sequence[str] = (),
    ) -> "Stage":
        """Copy files of the context, or of another stage or image, to `target`."""
        line = written.Copy(
            _place("copy", sources, target),
            _sources(sources, "copy"),
            quoted(_need(target, "copy", "a target")),
            (),
            "",
            quoted(chown),
            quoted(chmod),
            link,
            parents,
            tuple(exclude),
        )
        return self._replace(calls=(*self.calls, Call(line, from_)))

    def write(self, target: str, content: str, *, chown: str = "", chmod: str = "") -> "Stage":
        """Make a file of that content, as COPY of a here-document does; no variable is replaced."""
        line = written.Copy(
            _place("write", target),
            (),
            quoted(_need(target, "write", "a target")),
            (_body(content),),
            "",
            quoted(chown),
            quoted(chmod),
            link=False,
            parents=False,
            excludes=(),
        )
        return self._with(line)

    def add(
        self,
        sources: Words,
        target: str,
        *,
        chown: str = "",
        chmod: str = "",
        link: bool = False,
        exclude: Sequence[str] = (),
        checksum: str = "",
        keep_git_dir: bool = False,
        unpack: bool | None = None,
    ) -> "Stage":
        """Add files, archives (unpacked unless `unpack` forbids), URLs or a git repository."""
        line = written.Add(
            _place("add", sources, target),
            _sources(sources, "add"),
            quoted(_need(target, "add", "a target")),
            (),
            quoted(chown),
            quoted(chmod),
            link,
            tuple(exclude),
            quoted(checksum),
            keep_git_dir,
            unpack,
        )
        return self._with(line)

    def workdir(self, path: str) -> "Stage":
        """Make a directory, if need be, and work in it from here on."""
        path = quoted(_need(path, "workdir", "a path"))
        return self._with(written.Workdir(_place("workdir", path), path))

    # --- what edits the config ----------------------------------------------------------

    def env(self, values: Mapping[str, str] | None = None, /, **more: str) -> "Stage":
        """Set variables, in the image and for what follows."""
        pairs = _pairs({**(values or {}), **more}, "env")
        return self._with(written.Env(_place("env", *(key for key, _ in pairs)), pairs))

    def label(self, values: Mapping[str, str] | None = None, /, **more: str) -> "Stage":
        """Set labels of the image."""
        pairs = _pairs({**(values or {}), **more}, "label")
        return self._with(written.Label(_place("label", *(key for key, _ in pairs)), pairs))

    def arg(self, name: str, default: str | None = None) -> "Stage":
        """Declare a build argument for what follows; without a default it may have no value."""
        value = None if default is None else quoted(default)
        line = written.Arg(_place("arg", name), ((_need(name, "arg", "a name"), value),))
        return self._with(line)

    def user(self, user: str) -> "Stage":
        """Who runs commands from here on: `name`, `uid`, `name:group` or `uid:gid`."""
        user = quoted(_need(user, "user", "a user"))
        return self._with(written.User(_place("user", user), user))

    def expose(self, *ports: int | str) -> "Stage":
        """Note ports that the image listens on, such as `80`, `"53/udp"` or `"8000-8010"`."""
        texts = tuple(quoted(str(port)) for port in ports)
        _need(all(texts) and texts, "expose", "a port")
        return self._with(written.Expose(_place("expose", *texts), texts))

    def volume(self, *paths: str) -> "Stage":
        """Note paths that hold data of their own."""
        _need(all(path.strip() for path in paths) and paths, "volume", "a path")
        return self._with(written.Volume(_place("volume", *paths), tuple(map(quoted, paths))))

    def cmd(self, command: Words) -> "Stage":
        """What a container runs; an empty list clears it."""
        args, is_exec = _command(command, "cmd", may_be_empty=True)
        return self._with(written.Cmd(_place("cmd", command), args, is_exec))

    def entrypoint(self, command: Words) -> "Stage":
        """What a container always runs, the command as its arguments; an empty list clears it."""
        args, is_exec = _command(command, "entrypoint", may_be_empty=True)
        return self._with(written.Entrypoint(_place("entrypoint", command), args, is_exec))

    def shell(self, *words: str) -> "Stage":
        """What runs commands that are given as one text, from here on."""
        _need(words, "shell", "a program")
        return self._with(written.Shell(_place("shell", *words), words))

    def healthcheck(
        self,
        command: Words | None,
        *,
        interval: str = "",
        timeout: str = "",
        start_period: str = "",
        start_interval: str = "",
        retries: int | None = None,
    ) -> "Stage":
        """How to see whether a container is well; None: not at all, whatever the base says.

        Durations as `30s` or `1m30s`.
        """
        place = _place("healthcheck", command or "")
        if command is None:
            return self._with(written.Healthcheck(place, "NONE", (), is_exec=False, options=()))
        args, is_exec = _command(command, "healthcheck")
        options = {
            "interval": interval,
            "timeout": timeout,
            "start-period": start_period,
            "start-interval": start_interval,
            "retries": "" if retries is None else str(retries),
        }
        given = tuple((key, value) for key, value in options.items() if value)
        return self._with(written.Healthcheck(place, "CMD", args, is_exec, given))

    def stopsignal(self, signal: int | str) -> "Stage":
        """Which signal ends a container, by its name or number."""
        text = quoted(_need(str(signal), "stopsignal", "a signal"))
        return self._with(written.Stopsignal(_place("stopsignal", text), text))

    def onbuild(self, instruction: str) -> "Stage":
        """What builds that begin with this image do first, as a line of a Dockerfile."""
        _need(instruction, "onbuild", "an instruction")
        try:
            line = written.parse_fragment(f"ONBUILD {instruction}", filename="Stage.onbuild()")
        except DockerfileError as error:
            raise UsageError(f"Stage.onbuild(): {error.brief}", hint=error.hint) from None
        return self._with(line._replace(position=_place("onbuild", instruction)))


# --- what calls are made of -------------------------------------------------------------


def _place(call: str, *arguments: object) -> Position:
    """Where in the caller's own program the call stands, and what it looks like."""
    frame = sys._getframe(2)
    shown = ", ".join(repr(each) for each in arguments)
    source = f".{call}({shown})"
    return Position(frame.f_code.co_filename, frame.f_lineno, frame.f_lineno, source)


def _need(given: "str | Sequence[str] | bool", call: str, what: str) -> str:
    if not given or (isinstance(given, str) and not given.strip()):
        raise UsageError(f"Stage.{call}() needs {what}")
    return given if isinstance(given, str) else ""


def _named(name: str, call: str) -> str:
    if name and not _NAME.fullmatch(name):
        raise UsageError(
            f"Stage.{call}(): invalid name for a stage: {name!r}",
            hint="a name begins with a lower-case letter and has only letters, digits, - _ .",
        )
    return name


def _command(
    command: Words, call: str, *, may_be_empty: bool = False
) -> tuple[tuple[str, ...], bool]:
    """The arguments of an instruction, and whether they are words of their own."""
    if isinstance(command, str):
        return (_need(command, call, "a command").strip(),), False
    if not may_be_empty:
        _need(command, call, "a command")
    return tuple(command), True


def _sources(sources: Words, call: str) -> tuple[str, ...]:
    several = (sources,) if isinstance(sources, str) else tuple(sources)
    _need(all(several) and several, call, "a source")
    return tuple(map(quoted, several))


def _pairs(values: Mapping[str, str], call: str) -> tuple[tuple[str, str], ...]:
    _need(all(values) and list(values), call, "names with values")
    return tuple((quoted(key), quoted(value)) for key, value in values.items())


def _body(content: str) -> written.Heredoc:
    return written.Heredoc(_BODY, content, expand=False, chomp=False, fd=0)


__all__ = ["Call", "Mount", "Stage"]
