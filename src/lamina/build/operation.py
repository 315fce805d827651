"""What an instruction comes to in a given state: an edit of the state, or work on the tree.

Everything is resolved here (variables expanded, paths absolute, defaults filled in); nothing is
looked up in a tree and nothing is done.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lamina.build.selection import Fetched, Inline
from lamina.build.state import State

if TYPE_CHECKING:  # what few Dockerfiles have is loaded by who reads it there
    from lamina.dockerfile.chmod import Chmod
    from lamina.dockerfile.giturl import Git
    from lamina.dockerfile.mounts import Mount


class Edit(NamedTuple):
    """The instruction only edits the state: config, variables, history."""

    state: State


class MakeDirectory(NamedTuple):
    """WORKDIR: make `path` where it is missing, owned by `user` (as written); then `state`."""

    path: str
    user: str
    created_by: str
    state: State


class Remote(NamedTuple):
    """A file at a URL; `checksum` (`sha256:...`) is empty where none was given."""

    url: str
    checksum: str


class Copy(NamedTuple):
    """COPY and ADD.

    `owner` is --chown as written (None: not given), `mode` --chmod, `exclude`, `parents` and `link`
    the flags of these names; `unpacks` for ADD, `unpacks_fetched` for what it fetches. With a
    `repository` it is that in which the sources lie.
    """

    sources: tuple[str | Inline | Remote | Fetched, ...]
    destination: str
    owner: str | None
    mode: "Chmod | None"
    exclude: tuple[str, ...]
    parents: bool
    unpacks: bool
    created_by: str
    link: bool = False
    unpacks_fetched: bool = False
    repository: "Git | None" = None


class Script(NamedTuple):
    """A here-document that is a program itself: the command sees it at `path`."""

    path: str
    data: bytes


class Run(NamedTuple):
    """RUN: `env` is what counts for the cache, `proxies` what is handed in beside it.

    The targets of `mounts` are absolute. `insecure` gives up most of what keeps it apart.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    proxies: tuple[str, ...]
    cwd: str
    user: str
    network: str
    created_by: str
    mounts: "tuple[Mount, ...]" = ()
    script: Script | None = None
    insecure: bool = False


Action: TypeAlias = Edit | MakeDirectory | Copy | Run


def environment(state: State) -> tuple[str, ...]:
    """The state's variables as `KEY=value`, as RUN sees them."""
    return tuple(f"{key}={value}" for key, value in state.variables)


def proxy_variables(build_args: Mapping[str, str], state: State) -> tuple[str, ...]:
    """The predefined proxy arguments that were given and that the Dockerfile does not declare."""
    known = state.environment
    return tuple(
        f"{name}={value}"
        for name, value in sorted(build_args.items())
        if name in PROXY_NAMES and name not in known
    )


PROXY_NAMES = frozenset(
    spelling
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for spelling in (name, name.upper())
)
