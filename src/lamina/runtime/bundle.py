"""From a process to an OCI runtime bundle (runtime-spec, config.md), with docker's defaults.

What the caller may not give is left out rather than failed on: capabilities outside of its
bounding set, raised limits. No seccomp filter is set yet.
"""

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
_MASKED = (
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
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def config(
    process: Process,
    credentials: Credentials,
    *,
    root: str,
    bounding: int,
    files: tuple[tuple[str, str], ...],
) -> bytes:
    """The bytes of `config.json`.

    `root` is the absolute path of the mounted root, `bounding` the caller's capability bounding
    set, `files` pairs of a host file and where the container sees it.
    """
    return dump(
        {
            "ociVersion": "1.0.2",
            "hostname": process.hostname,
            "root": {"path": root, "readonly": process.readonly_root},
            "process": _process(process, credentials, bounding),
            "mounts": [*_MOUNTS, *_binds(process, files)],
            "linux": {
                "namespaces": _namespaces(process),
                "maskedPaths": list(_MASKED),
                "readonlyPaths": list(_READ_ONLY),
            },
        }
    )


def _process(process: Process, credentials: Credentials, bounding: int) -> Json:
    granted: Json = [name for name, bit in _CAPABILITIES.items() if bounding >> bit & 1]
    effective = granted if credentials.uid == 0 else []
    return {
        "terminal": process.tty,
        "user": {
            "uid": credentials.uid,
            "gid": credentials.gid,
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
        "noNewPrivileges": False,
    }


def _namespaces(process: Process) -> Json:
    kinds = ["pid", "ipc", "uts", "mount"]
    if process.network == "none":
        kinds.append("network")
    return [{"type": kind} for kind in kinds]


def _mount(target: str, kind: str, *options: str) -> Json:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


_MOUNTS = (
    _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    _mount(
        "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
    ),
    _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
)


def _binds(process: Process, files: tuple[tuple[str, str], ...]) -> list[Json]:
    binds: list[Json] = [
        {
            "destination": target,
            "type": "bind",
            "source": source,
            "options": ["rbind", "rprivate"],
        }
        for source, target in files
    ]
    for volume in sorted(process.volumes, key=lambda each: each.target.count("/")):
        binds.append(
            {
                "destination": volume.target,
                "type": "bind",
                "source": volume.source,
                "options": ["rbind", "rprivate", "ro" if volume.readonly else "rw"],
            }
        )
    return binds
