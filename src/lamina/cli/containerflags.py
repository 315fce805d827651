"""The flags that `create` and `run` share, and the container they ask for."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from lamina.cli import confinementflags, healthflags, limitflags, mountflags, namingflags
from lamina.cli.flags import Flag, Parsed
from lamina.cli.labels import labels_of
from lamina.cli.lastingflags import FLAGS as LASTING_FLAGS
from lamina.cli.lastingflags import lasting
from lamina.cli.platformflag import platform_of
from lamina.cli.transfers import PULL, TLS_VERIFY, shown_on, verifies_tls
from lamina.cli.variables import environment
from lamina.engine import Engine
from lamina.engine.container import Container
from lamina.errors import UsageError
from lamina.values.events import ignore
from lamina.values.size import parse as parse_size

_FLAGS = (
    Flag("attach", "a", "STREAM", "only stdin, stdout, stderr (run in the foreground)", True),
    Flag("cidfile", "", "FILE", "write the container's ID there"),
    Flag("entrypoint", "", "COMMAND", "instead of the image's entrypoint"),
    Flag("env", "e", "KEY[=VALUE]", "an environment variable; without a value, yours", True),
    Flag("env-file", "", "FILE", "a file of environment variables", True),
    Flag("hostname", "h", "NAME", "the container's host name"),
    Flag("interactive", "i", "", "hand standard input on"),
    Flag("label", "l", "KEY[=VALUE]", "a label", True),
    Flag("label-file", "", "FILE", "a file of labels", True),
    Flag("name", "", "NAME", "the container's name"),
    Flag("network", "", "MODE", "host (the default, for now) or none"),
    Flag("net", "", "MODE", "the same"),
    Flag(
        "platform",
        "",
        "OS/ARCH",
        "an image for it, pulled if what is here is not (DOCKER_DEFAULT_PLATFORM)",
    ),
    PULL,
    Flag("quiet", "q", "", "do not show how an image is pulled"),
    Flag("storage-opt", "", "KEY=VALUE", "size=BYTES limits what it may write", True),
    TLS_VERIFY,
    Flag("tty", "t", "", "give it a terminal"),
    Flag("user", "u", "NAME|UID[:GROUP|GID]", "run as"),
    Flag("workdir", "w", "DIR", "start in"),
)
_THEMES = (
    _FLAGS,
    confinementflags.FLAGS,
    healthflags.FLAGS,
    limitflags.FLAGS,
    mountflags.FLAGS,
    namingflags.FLAGS,
    LASTING_FLAGS,
)
FLAGS = tuple(sorted((flag for theme in _THEMES for flag in theme), key=lambda flag: flag.name))
RUN_FLAGS = (
    Flag("detach", "d", "", "let it run on by itself, and print its ID"),
    Flag("rm", "", "", "remove the container when it ends"),
)


def made(opened: Engine, given: Parsed, *, auto_remove: bool) -> Container:
    """The container that the flags ask for, its ID in --cidfile; raises `UsageError`."""
    path = given.one("cidfile")
    if path is None:
        return _made(opened, given, auto_remove=auto_remove)
    with _reserved(path) as note:
        container = _made(opened, given, auto_remove=auto_remove)
        note(container.id)
        return container


@contextmanager
def _reserved(path: str) -> Iterator[Callable[[str], None]]:
    """A file that nobody had before, for one text; it goes again when an error is raised."""
    try:
        file = open(path, "x", encoding="ascii")  # noqa: SIM115 - closed below
    except FileExistsError:
        raise UsageError(
            f"the container ID file {path} is there already",
            hint="see that its container has ended, and remove it",
        ) from None
    except OSError as error:
        raise UsageError(f"the container ID file {path}: {error.strerror}") from None
    try:
        with file:
            yield lambda text: print(text, end="", file=file)
    except BaseException:
        os.unlink(path)
        raise


def _made(opened: Engine, given: Parsed, *, auto_remove: bool) -> Container:
    image, *command = given.operands
    entrypoint = given.one("entrypoint")
    with nullcontext(ignore) if given.has("quiet") else shown_on(sys.stderr) as events:
        return opened.containers.create(
            image,
            command or None,
            auto_remove=auto_remove,
            pull=given.one("pull") or "missing",
            platform=platform_of(given),
            verify_tls=verifies_tls(given),
            events=events,
            name=given.one("name"),
            entrypoint=None if entrypoint is None else (entrypoint,) if entrypoint else (),
            environment=environment(given),
            working_dir=given.one("workdir"),
            user=given.one("user"),
            network=_network(given.one("network") or given.one("net") or "host"),
            hostname=given.one("hostname"),
            tty=given.has("tty"),
            stdin_open=given.has("interactive"),
            labels=labels_of(given),
            storage_size=_storage_size(given.all("storage-opt")),
            **confinementflags.confined(given),
            **limitflags.limited(given),
            lasting=lasting(given),
            health=healthflags.health(given),
            **mountflags.mounted(given),
            **namingflags.named(given),
        )


def _network(mode: str) -> str:
    if mode not in ("host", "none"):
        raise UsageError(
            f"the network mode {mode!r} is not there yet", hint="there are host and none"
        )
    return mode


def _storage_size(options: list[str]) -> int | None:
    size = None
    for option in options:
        key, _, value = option.partition("=")
        if key != "size":
            raise UsageError(f"unknown storage option {key!r}", hint="there is size")
        size = parse_size(value)
    return size
