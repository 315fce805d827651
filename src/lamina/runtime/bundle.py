"""From a process to an OCI runtime bundle (runtime-spec, config.md), with docker's defaults.

What the caller may not give is left out rather than failed on: capabilities outside of its
bounding set, raised limits. Without limits no cgroup is made, so no device list guards the
host's disks against mknod(2); instead every mount of the container but single host devices is
`nodev`, unless the process is privileged. For the same reason no cgroup tree is mounted: the
container has none of its own.
There is no seccomp filter yet.
"""

import os
from typing import NamedTuple

from lamina.runtime.process import Process, environment
from lamina.runtime.users import Credentials
from lamina.spec.strictjson import Json, dump

# docker's fourteen (moby, oci/caps/defaults.go) with their numbers (capability.h)
_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}
_EVERY = (  # every capability, by number (capability.h)
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID"),
    *("CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE"),
    *("CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK"),
    *("CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"),
    *("CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE"),
    *("CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE"),
    *("CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG"),
    *("CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF"),
    *("CAP_CHECKPOINT_RESTORE"),
)
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
TTY = 5  # the group of terminals, everywhere
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")


class BindMount(NamedTuple):
    """A host path seen at `target`, a path whose links are all resolved; `device`: it is one."""

    source: str
    target: str
    readonly: bool
    device: bool = False


class TmpfsMount(NamedTuple):
    """An empty file system in memory, of at most `size` bytes (None: the kernel's default)."""

    target: str
    size: int | None
    readonly: bool


class Host(NamedTuple):
    """What the host lets a container have.

    `bounding` is the caller's capability bounding set, `core` its hard limit of core dumps in
    bytes (-1: none), `devices` those of `DEVICES` that are in its /dev; `has_tty_group` where its
    files can belong to that group (a user namespace may lack it).
    """

    bounding: int
    core: int
    devices: tuple[str, ...]
    has_tty_group: bool = True


def config(
    process: Process,
    credentials: Credentials,
    *,
    root: str,
    host: Host,
    mounts: tuple[BindMount | TmpfsMount, ...],
    hook: tuple[str, ...] = (),
    terminal_size: os.terminal_size | None = None,
) -> bytes:
    """The bytes of `config.json`; `root` is the absolute path of the mounted root.

    `hook` is a command that the runtime executes when all is mounted (createContainer).
    """
    return dump(
        {
            "ociVersion": "1.0.2",
            "hostname": process.hostname,
            "root": {"path": root, "readonly": process.readonly_root},
            "process": {**_process(process, credentials, host), **_console(terminal_size)},
            "mounts": [
                *_system(process, host.has_tty_group),
                *(
                    _bind(BindMount(f"/dev/{name}", f"/dev/{name}", False, True))
                    for name in host.devices
                ),
                *(_bind(each) if isinstance(each, BindMount) else _tmpfs(each) for each in mounts),
            ],
            "hooks": {"createContainer": [{"path": hook[0], "args": list(hook)}]} if hook else {},
            "linux": {
                "namespaces": _namespaces(process),
                "maskedPaths": [] if process.privileged else list(MASKED),
                "readonlyPaths": [] if process.privileged else list(READ_ONLY),
            },
        }
    )


def _process(process: Process, credentials: Credentials, host: Host) -> dict[str, Json]:
    wanted = dict(zip(_EVERY, range(len(_EVERY)), strict=True))
    if not process.privileged:
        wanted = _CAPABILITIES
    granted: Json = [name for name, bit in wanted.items() if host.bounding >> bit & 1]
    effective = granted if credentials.uid == 0 else []
    return {
        "terminal": process.tty,
        "user": {
            "uid": credentials.uid,
            "gid": credentials.gid,
            "umask": 0o022,
            "additionalGids": list(credentials.groups),
        },
        "args": list(process.args),
        "env": list(environment(process, credentials.home)),
        "cwd": process.cwd,
        "capabilities": {
            "bounding": granted,
            "permitted": effective,
            "effective": effective,
            "inheritable": [],
            "ambient": [],
        },
        # A killed command leaves no core dump in its layer.
        "rlimits": [{"type": "RLIMIT_CORE", "hard": host.core & _UNLIMITED, "soft": 0}],
        "noNewPrivileges": False,
    }


def _console(size: os.terminal_size | None) -> dict[str, Json]:
    """crun takes the size from here alone."""
    return {"consoleSize": {"height": size.lines, "width": size.columns}} if size else {}


_UNLIMITED = (1 << 64) - 1  # RLIM_INFINITY, asm-generic/resource.h


def _namespaces(process: Process) -> Json:
    kinds = ["pid", "ipc", "uts", "mount"]
    if process.network == "none":
        kinds.append("network")  # both runtimes bring its loopback up
    return [{"type": kind} for kind in kinds]


def _mount(target: str, kind: str, *options: str) -> Json:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _tmpfs(mount: TmpfsMount) -> Json:
    size = () if mount.size is None else (f"size={mount.size}",)
    access = "ro" if mount.readonly else "rw"
    return _mount(mount.target, "tmpfs", "nosuid", "nodev", access, "mode=1777", *size)


def _system(process: Process, has_tty_group: bool) -> list[Json]:
    quiet = ("nosuid", "noexec", "nodev")
    devices = ("nosuid",) if process.privileged else ("nosuid", "nodev")
    sysfs = "rw" if process.privileged else "ro"
    terminals = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    group = (f"gid={TTY}",) if has_tty_group else ()
    return [
        _mount("/proc", "proc", *quiet),
        _mount("/dev", "tmpfs", *devices, "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", *terminals, *group),
        _mount("/dev/shm", "tmpfs", *quiet, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", *quiet),
        _mount("/sys", "sysfs", *quiet, sysfs),
    ]


def _bind(bind: BindMount) -> Json:
    options: list[Json] = ["rbind", "rprivate", "ro" if bind.readonly else "rw"]
    if not bind.device:
        options.append("nodev")
    return {
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        "options": options,
    }
