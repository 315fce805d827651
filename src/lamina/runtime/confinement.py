"""How far a container's process is kept apart, as values: rights, filters, devices, namespaces.

They are docker's, and stored with the container; what they come to is the business of
lamina.runtime.bundle. Knows no spelling (see lamina.runtime.spelling).
"""

from typing import NamedTuple, Self

UNCONFINED = "unconfined"
HOST = "host"


class Device(NamedTuple):
    """A device of this machine (or a directory of them) seen at `target`.

    `access` holds some of `r`, `w` and `m` (mknod).
    """

    source: str
    target: str
    access: str = "rwm"


class Confinement(NamedTuple):
    """Nothing said is docker's default.

    Capabilities are in the spelling of `capabilities.named`. `seccomp` is empty for docker's own
    list (lamina.runtime.syscalls), `unconfined`, or the JSON text of a docker profile; `apparmor`
    empty, `unconfined`, or the name of a loaded one. `pid`, `ipc` and `uts` are empty or `host`
    (`ipc` also `none`: without /dev/shm). `shm_size` is in bytes; `unmasked` shows what docker
    hides of /proc and /sys. With `init` a small one is the first process and buries orphans.
    `sysctls` are kernel parameters of its own namespaces.
    """

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    unmasked: bool = False
    devices: tuple[Device, ...] = ()
    groups: tuple[str, ...] = ()
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    shm_size: int = 64 << 20
    init: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_facts(cls, facts: dict[str, object]) -> Self:
        """Read back what `json.dumps(self._asdict())` wrote."""
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}
        found = cls(**values)  # type: ignore[arg-type]  # what was written had these types
        return found._replace(
            devices=tuple(Device(*device) for device in found.devices),
            sysctls=tuple((key, value) for key, value in found.sysctls),
        )
