"""What is to be run, as a value."""

from typing import NamedTuple

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Volume(NamedTuple):
    """A host directory or file that a container sees at `target`."""

    source: str
    target: str
    readonly: bool


class Process(NamedTuple):
    """One process in a root: `env` holds `KEY=value`, `user` is as in an image's config.

    `network` is `host` or `none`.
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


def environment(process: Process, home: str) -> tuple[str, ...]:
    """The process's whole environment: PATH, HOSTNAME, TERM and HOME where it says nothing."""
    given = {item.partition("=")[0] for item in process.env}
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": process.hostname}
    if process.tty:
        defaults["TERM"] = "xterm"
    defaults["HOME"] = home
    return (*(f"{key}={value}" for key, value in defaults.items() if key not in given), *process.env)
