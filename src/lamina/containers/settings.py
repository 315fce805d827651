"""How one container is to be run: the image's configuration with the caller's wishes laid over.

Pure values; stored as JSON in the container's row, so that a later `start` runs the same.
"""

import json
from typing import NamedTuple

from lamina.errors import UsageError
from lamina.runtime.process import Process, Volume
from lamina.spec.imageconfig import ContainerConfig


class Wishes(NamedTuple):
    """What the caller asks for over the image's own settings; None leaves the image's.

    `command` replaces Cmd; `entrypoint` replaces Entrypoint and drops the image's Cmd;
    `environment` holds `KEY=value` texts; `storage_size` is in bytes.
    """

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()
    working_dir: str | None = None
    user: str | None = None
    volumes: tuple[Volume, ...] = ()
    network: str = "host"
    hostname: str | None = None
    tty: bool = False
    stdin_open: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    auto_remove: bool = False
    storage_size: int | None = None


class Settings(NamedTuple):
    """Everything that a start needs, resolved once when the container was made."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    hostname: str
    network: str
    tty: bool
    stdin_open: bool
    volumes: tuple[Volume, ...]
    labels: tuple[tuple[str, str], ...]
    auto_remove: bool

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(self._asdict(), separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read back what `to_json` wrote."""
        facts = json.loads(text)
        return cls(
            args=tuple(facts["args"]),
            env=tuple(facts["env"]),
            cwd=facts["cwd"],
            user=facts["user"],
            hostname=facts["hostname"],
            network=facts["network"],
            tty=facts["tty"],
            stdin_open=facts["stdin_open"],
            volumes=tuple(Volume(*volume) for volume in facts["volumes"]),
            labels=tuple((key, value) for key, value in facts["labels"]),
            auto_remove=facts["auto_remove"],
        )

    def process(self) -> Process:
        """What the runtime is to start."""
        return Process(
            args=self.args,
            env=self.env,
            cwd=self.cwd,
            user=self.user,
            tty=self.tty,
            hostname=self.hostname,
            network=self.network,
            volumes=self.volumes,
            readonly_root=False,
        )


def settle(config: ContainerConfig, wishes: Wishes, hostname: str) -> Settings:
    """Lay `wishes` over the image's `config`; raises `UsageError` when there is no command."""
    if wishes.entrypoint is not None:
        entrypoint, command = wishes.entrypoint, wishes.command or ()
    else:
        entrypoint = tuple(config.entrypoint or ())
        command = wishes.command if wishes.command is not None else tuple(config.cmd or ())
    args = (*entrypoint, *command)
    if not args:
        raise UsageError("no command specified", hint="the image has none, so name one")
    labels = dict(config.labels or {})
    labels.update(wishes.labels)
    return Settings(
        args=args,
        env=merge_env(tuple(config.env or ()), wishes.environment),
        cwd=wishes.working_dir or config.working_dir or "/",
        user=wishes.user if wishes.user is not None else config.user,
        hostname=wishes.hostname or hostname,
        network=wishes.network,
        tty=wishes.tty,
        stdin_open=wishes.stdin_open,
        volumes=wishes.volumes,
        labels=tuple(sorted(labels.items())),
        auto_remove=wishes.auto_remove,
    )


def merge_env(base: tuple[str, ...], over: tuple[str, ...]) -> tuple[str, ...]:
    """`over` laid over `base`: a known key keeps its place, a new one is appended.

    A name without `=` removes that key, as docker's `-e NAME` with NAME unset does.
    """
    merged = {item.partition("=")[0]: item for item in base}
    for item in over:
        key, separator, _ = item.partition("=")
        if separator:
            merged[key] = item
        else:
            merged.pop(key, None)
    return tuple(merged.values())
