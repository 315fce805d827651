"""How one container is to be run: the image's configuration with the caller's wishes laid over.

Pure values; stored as JSON in the container's row, so that a later `start` runs the same. The
merging is docker's (moby, runconfig/merge): what the caller gives comes first, what the image
says is added.
"""

import json
import posixpath
from typing import NamedTuple

from lamina.containers.health import Health, document_of, laid, of_document
from lamina.containers.lasting import Lasting
from lamina.errors import UsageError
from lamina.runtime.confinement import HOST, Confinement
from lamina.runtime.limits import Limits
from lamina.runtime.naming import Naming
from lamina.runtime.process import Process, Tmpfs, Volume, refuse_nul
from lamina.spec.imageconfig import ContainerConfig
from lamina.spec.strictjson import Json

_NAME_LIMIT = 64  # sethostname(2)


class Wishes(NamedTuple):
    """What the caller asks for over the image's own settings; None leaves the image's.

    `command` replaces Cmd; `entrypoint` replaces Entrypoint and drops the image's Cmd;
    `environment` holds `KEY=value` texts, and bare names of what is not to be set at all;
    `storage_size` is in bytes. With `stdin_once` the input ends with whoever is attached first.
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
    missing_sources: tuple[str, ...] = ()
    storage_size: int | None = None
    privileged: bool = False
    read_only: bool = False
    tmpfs: tuple[Tmpfs, ...] = ()
    confinement: Confinement = Confinement()
    limits: Limits = Limits()
    lasting: Lasting = Lasting()
    naming: Naming = Naming()
    annotations: tuple[tuple[str, str], ...] = ()
    exposed: tuple[str, ...] = ()
    stdin_once: bool = False
    health: Health = Health()


class Settings(NamedTuple):
    """Everything that a start needs, resolved once when the container was made.

    `entrypoint` is None where neither the image nor the caller has one; `cwd` is empty where none
    was named.
    """

    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...]
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
    privileged: bool = False
    read_only: bool = False
    tmpfs: tuple[Tmpfs, ...] = ()
    confinement: Confinement = Confinement()
    limits: Limits = Limits()
    lasting: Lasting = Lasting()
    naming: Naming = Naming()
    annotations: tuple[tuple[str, str], ...] = ()
    exposed: tuple[str, ...] = ()
    stdin_once: bool = False
    health: Health = Health()

    @property
    def args(self) -> tuple[str, ...]:
        """What is executed."""
        return (*(self.entrypoint or ()), *self.command)

    def to_json(self) -> str:
        """As it is stored."""
        parts = {"confinement": self.confinement._asdict(), "limits": self.limits._asdict()}
        facts = {**self._asdict(), **parts}
        return json.dumps(facts, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read back what `to_json` wrote."""
        facts = json.loads(text)
        entrypoint = facts["entrypoint"]
        return cls(
            entrypoint=None if entrypoint is None else tuple(entrypoint),
            command=tuple(facts["command"]),
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
            privileged=facts.get("privileged", False),
            read_only=facts.get("read_only", False),
            tmpfs=tuple(Tmpfs(path, tuple(said)) for path, said in facts.get("tmpfs", ())),
            confinement=Confinement.from_facts(facts.get("confinement", {})),
            limits=Limits.from_facts(facts.get("limits", {})),
            lasting=Lasting(*facts.get("lasting", ())),
            naming=Naming.from_facts(facts.get("naming", [])),
            annotations=tuple((key, value) for key, value in facts.get("annotations", ())),
            exposed=tuple(facts.get("exposed", ())),
            stdin_once=facts.get("stdin_once", False),
            health=Health.from_facts(facts.get("health", ())),
        )

    def process(self) -> Process:
        """What the runtime is to start."""
        return Process(
            args=self.args,
            env=self.env,
            cwd=self.cwd or "/",
            user=self.user,
            tty=self.tty,
            hostname=self.hostname,
            network=self.network,
            volumes=self.volumes,
            readonly_root=self.read_only,
            privileged=self.privileged,
            confinement=self.confinement,
            tmpfs=self.tmpfs,
            limits=self.limits,
            naming=self.naming,
            annotations=self.annotations,
        )


def settle(
    config: ContainerConfig, wishes: Wishes, hostname: str, *, declared: bool = True
) -> Settings:
    """Lay `wishes` over the image's `config`; its volumes only where they are `declared`.

    Raises `UsageError` when there is no command, the working directory is not absolute, or
    wishes contradict each other.
    """
    _refuse_contradictions(wishes)
    entrypoint, command = wishes.entrypoint, wishes.command
    if entrypoint is None:
        entrypoint = config.entrypoint
        command = config.cmd if command is None else command
    if not (entrypoint or command):
        raise UsageError("no command specified", hint="the image has none, so name one")
    cwd = wishes.working_dir or config.working_dir
    if cwd and not cwd.startswith("/"):
        raise UsageError(
            f"the working directory {cwd!r} is not absolute", hint="begin it with a slash"
        )
    labels = dict(config.labels or {})
    labels.update(wishes.labels)
    return Settings(
        entrypoint=entrypoint or None,
        command=command or (),
        env=merge_env(config.env or (), wishes.environment),
        cwd=cwd,
        user=wishes.user or config.user,
        hostname=wishes.hostname or hostname,
        network=wishes.network,
        tty=wishes.tty,
        stdin_open=wishes.stdin_open,
        volumes=(*wishes.volumes, *(_declared(config, wishes) if declared else ())),
        labels=tuple(sorted(labels.items())),
        auto_remove=wishes.auto_remove,
        privileged=wishes.privileged,
        read_only=wishes.read_only,
        tmpfs=wishes.tmpfs,
        confinement=wishes.confinement,
        limits=wishes.limits,
        naming=wishes.naming,
        annotations=wishes.annotations,
        exposed=wishes.exposed,
        stdin_once=wishes.stdin_once,
        lasting=wishes.lasting,
        health=laid(of_document(config.healthcheck), wishes.health),
    )


def _declared(config: ContainerConfig, wishes: Wishes) -> list[Volume]:
    """The image's volumes where nothing else is to be seen, each without a name yet."""
    taken = {each.target for each in wishes.volumes} | {each.target for each in wishes.tmpfs}
    paths = {posixpath.normpath("/" + path.lstrip("/")) for path in config.volumes or ()}
    return [Volume("", path, False) for path in sorted(paths - taken - {"/"})]


def _refuse_contradictions(wishes: Wishes) -> None:
    refuse_nul(wishes)
    _refuse_name(wishes.hostname or "", wishes.confinement)
    _refuse_devices(wishes)
    if wishes.auto_remove and wishes.lasting.restarts:
        raise UsageError(
            "a container that is removed when it ends is not started again",
            hint="leave out --rm or --restart",
        )
    if wishes.confinement.ipc and wishes.confinement.shm_size != Confinement().shm_size:
        raise UsageError(
            f"the IPC mode {wishes.confinement.ipc} brings no shared memory of a size of its own",
            hint="leave out --shm-size or --ipc",
        )


def _refuse_name(name: str, confinement: Confinement) -> None:
    if name and confinement.uts == HOST:
        raise UsageError(
            "a container with the host's UTS namespace has the host's name, too",
            hint="leave out --hostname or --uts",
        )
    if not name.isprintable() or " " in name or len(name.encode()) > _NAME_LIMIT:
        raise UsageError(
            f"invalid host name {name[:80]!r}",
            hint=f"it has at most {_NAME_LIMIT} bytes, no blanks",
        )


def _refuse_devices(wishes: Wishes) -> None:
    for device in wishes.confinement.devices if wishes.privileged else ():
        if not {"r", "w"}.issubset(device.access):
            raise UsageError(
                f"a privileged container reads and writes every device, {device.source} too",
                hint=f"leave out :{device.access}, or --privileged",
            )
    for each in wishes.tmpfs:
        if "dev" in each.options and not wishes.privileged:
            raise UsageError(
                f"devices on the tmpfs {each.target} would open every disk of this machine",
                hint="leave out `dev`, or show single ones with --device",
            )


def merge_env(base: tuple[str, ...], over: tuple[str, ...]) -> tuple[str, ...]:
    """`over`, each name once with its last value, then what `base` says of other names.

    A name without `=` takes that variable away.
    """
    merged = {item.partition("=")[0]: item for item in over}
    for item in base:
        merged.setdefault(item.partition("=")[0], item)
    return tuple(item for item in merged.values() if "=" in item)


def laid_over(config: dict[str, Json], settings: Settings) -> dict[str, Json]:
    """An image's `config` object with what a container of it was told: the container's own.

    Triggers are the image's alone, as in docker. What a config holds of the container rather than
    of images to come (its host name, its terminal) is left out.
    """
    said: dict[str, Json] = {
        "Entrypoint": list(settings.entrypoint) if settings.entrypoint else None,
        "Cmd": list(settings.command) or None,
        "Env": list(settings.env) or None,
        "WorkingDir": settings.cwd or None,
        "User": settings.user or None,
        "Labels": dict(settings.labels) or None,
        "OnBuild": None,
        "Healthcheck": document_of(settings.health) if settings.health.test else None,
    }
    ports = config.get("ExposedPorts")
    if settings.exposed:
        known = ports if isinstance(ports, dict) else {}
        said["ExposedPorts"] = {**known, **{port: {} for port in settings.exposed}}
    kept = {key: value for key, value in config.items() if key not in said}
    return {**kept, **{key: value for key, value in said.items() if value is not None}}
