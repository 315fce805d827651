"""What is to be run, as a value, and its whole environment."""

from typing import NamedTuple

from lamina.errors import UsageError
from lamina.runtime.confinement import Confinement
from lamina.runtime.limits import Limits
from lamina.runtime.naming import Naming

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Volume(NamedTuple):
    """A host directory or file that a container sees at `target` (an absolute path).

    With a `name` it is a volume of that name, whose `source` its keeper knows; with neither, one
    that is to get a name. What is mounted below the source is seen, too, when it is `recursive`.
    An empty volume that `copies` gets what the image has at `target`.
    """

    source: str
    target: str
    readonly: bool
    name: str = ""
    recursive: bool = True
    copies: bool = True

    @property
    def is_kept(self) -> bool:
        """Whether it is a volume, and no path of this machine."""
        return bool(self.name) or not self.source


class Tmpfs(NamedTuple):
    """An empty file system in memory at `target`; `options` are mount(8)'s, over docker's own."""

    target: str
    options: tuple[str, ...] = ()


class Process(NamedTuple):
    """One process in a root: `env` holds `KEY=value`, `user` is as in an image's config.

    `network` is `host` or `none`; `cwd` is absolute and made when it is missing. A `privileged`
    process has every right that its starter has. Its control group lies below `group_parent` ("":
    where those of containers lie).
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    tty: bool = False
    hostname: str = "lamina"
    network: str = "host"
    volumes: tuple[Volume, ...] = ()
    readonly_root: bool = False
    privileged: bool = False
    confinement: Confinement = Confinement()
    tmpfs: tuple[Tmpfs, ...] = ()
    limits: Limits = Limits()
    naming: Naming = Naming()
    annotations: tuple[tuple[str, str], ...] = ()
    group_parent: str = ""


def environment(process: Process, home: str) -> tuple[str, ...]:
    """PATH, HOSTNAME, TERM (with a terminal) and HOME where the process says nothing of them.

    In docker's order: these first, then the process's own. What has no `=` is no variable and
    is left out.
    """
    own = tuple(item for item in process.env if item.find("=") > 0)
    given = {item.partition("=")[0] for item in own}
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": process.hostname}
    if process.tty:
        defaults["TERM"] = "xterm"
    defaults["HOME"] = home
    return (*(f"{key}={value}" for key, value in defaults.items() if key not in given), *own)


def refuse_nul(said: object) -> None:
    """Raise `UsageError` for a text with a NUL, in tuples too: the kernel would see less of it."""
    if isinstance(said, str) and "\0" in said:
        raise UsageError(f"{said[:80]!r} holds a NUL byte, which no program can be given")
    if isinstance(said, tuple):
        for each in said:
            refuse_nul(each)


def variable(process: Process, name: str, default: str) -> str:
    """The value that the process gives `name`; the last one counts."""
    for item in reversed(process.env):
        key, separator, value = item.partition("=")
        if separator and key == name:
            return value
    return default
