"""From what is asked for in docker's words to the typed wishes of a container."""

from collections.abc import Mapping, Sequence

from lamina.containers.settings import Wishes
from lamina.engine.wishes import Wanted
from lamina.runtime import spelling, tmpfs
from lamina.runtime.capabilities import named
from lamina.runtime.confinement import Confinement
from lamina.values.size import parse as parse_size


def to_wishes(command: Sequence[str] | None, auto_remove: bool, wanted: Wanted) -> Wishes:
    """The typed wishes; raises `UsageError` for what cannot be understood."""
    environment = wanted.get("environment", ())
    if isinstance(environment, Mapping):
        environment = [f"{key}={value}" for key, value in environment.items()]
    entrypoint = wanted.get("entrypoint")
    return Wishes(
        command=tuple(command) if command is not None else None,
        entrypoint=tuple(entrypoint) if entrypoint is not None else None,
        environment=tuple(environment),
        working_dir=wanted.get("working_dir"),
        user=wanted.get("user"),
        volumes=tuple(wanted.get("volumes", ())),
        network=wanted.get("network", "host"),
        hostname=wanted.get("hostname"),
        tty=wanted.get("tty", False),
        stdin_open=wanted.get("stdin_open", False),
        labels=tuple(wanted.get("labels", {}).items()),
        auto_remove=auto_remove,
        storage_size=wanted.get("storage_size"),
        privileged=wanted.get("privileged", False),
        read_only=wanted.get("read_only", False),
        tmpfs=tuple(
            tmpfs.spelled(f"{path}:{options}") for path, options in wanted.get("tmpfs", {}).items()
        ),
        confinement=_confinement(wanted),
    )


def _confinement(wanted: Wanted) -> Confinement:
    spelling.user_mode(wanted.get("userns_mode", ""))
    said = Confinement(
        cap_add=tuple(named(each) for each in wanted.get("cap_add", ())),
        cap_drop=tuple(named(each) for each in wanted.get("cap_drop", ())),
        devices=tuple(spelling.device(each) for each in wanted.get("devices", ())),
        groups=tuple(str(each) for each in wanted.get("group_add", ())),
        pid=spelling.pid_mode(wanted.get("pid_mode", "")),
        ipc=spelling.ipc_mode(wanted.get("ipc_mode", "")),
        uts=spelling.uts_mode(wanted.get("uts_mode", "")),
        init=wanted.get("init", False),
    )
    size = wanted.get("shm_size")
    if size:
        said = said._replace(shm_size=parse_size(str(size)))
    return spelling.with_security(said, wanted.get("security_opt", ()))
