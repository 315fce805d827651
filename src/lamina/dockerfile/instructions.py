"""The instructions as values: typed, frozen, as written; no variable in them is expanded yet."""

from typing import NamedTuple, TypeAlias

from lamina.dockerfile.heredoc import Heredoc
from lamina.dockerfile.position import Position

Pairs = tuple[tuple[str, str], ...]


class From(NamedTuple):
    """FROM image [AS name]."""

    position: Position
    image: str
    name: str
    platform: str


class Run(NamedTuple):
    """RUN: `args` is a command line for the shell, or with `is_exec` the words themselves."""

    position: Position
    args: tuple[str, ...]
    is_exec: bool
    heredocs: tuple[Heredoc, ...]
    mounts: tuple[str, ...]
    network: str
    security: str
    devices: tuple[str, ...] = ()


class Copy(NamedTuple):
    """COPY: `sources` to `target`; here-documents are sources, too."""

    position: Position
    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...]
    from_: str
    chown: str
    chmod: str
    link: bool
    parents: bool
    excludes: tuple[str, ...]


class Add(NamedTuple):
    """ADD: as COPY, and archives, URLs and git repositories. `unpack` None: as content says."""

    position: Position
    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...]
    chown: str
    chmod: str
    link: bool
    excludes: tuple[str, ...]
    checksum: str
    keep_git_dir: bool
    unpack: bool | None


class Env(NamedTuple):
    """ENV."""

    position: Position
    pairs: Pairs


class Label(NamedTuple):
    """LABEL."""

    position: Position
    pairs: Pairs


class Arg(NamedTuple):
    """ARG: names with their defaults (None: none)."""

    position: Position
    pairs: tuple[tuple[str, str | None], ...]


class Workdir(NamedTuple):
    """WORKDIR."""

    position: Position
    path: str


class User(NamedTuple):
    """USER."""

    position: Position
    user: str


class Expose(NamedTuple):
    """EXPOSE."""

    position: Position
    ports: tuple[str, ...]


class Volume(NamedTuple):
    """VOLUME."""

    position: Position
    paths: tuple[str, ...]


class Cmd(NamedTuple):
    """CMD."""

    position: Position
    args: tuple[str, ...]
    is_exec: bool


class Entrypoint(NamedTuple):
    """ENTRYPOINT."""

    position: Position
    args: tuple[str, ...]
    is_exec: bool


class Shell(NamedTuple):
    """SHELL."""

    position: Position
    args: tuple[str, ...]


class Healthcheck(NamedTuple):
    """HEALTHCHECK: `kind` NONE or CMD; durations as written."""

    position: Position
    kind: str
    args: tuple[str, ...]
    is_exec: bool
    options: tuple[tuple[str, str], ...]


class Stopsignal(NamedTuple):
    """STOPSIGNAL."""

    position: Position
    signal: str


class Onbuild(NamedTuple):
    """ONBUILD: the instruction's text."""

    position: Position
    text: str


class Maintainer(NamedTuple):
    """MAINTAINER."""

    position: Position
    name: str


Instruction: TypeAlias = (
    From
    | Run
    | Copy
    | Add
    | Env
    | Label
    | Arg
    | Workdir
    | User
    | Expose
    | Volume
    | Cmd
    | Entrypoint
    | Shell
    | Healthcheck
    | Stopsignal
    | Onbuild
    | Maintainer
)
