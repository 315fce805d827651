"""From a process to an OCI runtime bundle (runtime-spec, config.md), with docker's defaults.

What the caller may not give is left out rather than failed on: capabilities outside of its
bounding set, raised limits. Without limits no cgroup is made, so no device list guards the
host's disks against mknod(2); instead every mount of the container but single host devices is
`nodev`, unless the process is privileged (who may mount gets a cgroup for the list's sake, see
lamina.execution.limiting). For the same reason no cgroup tree is mounted: the container has none
of its own.
The filter of system calls is docker's unless a profile is given; crun takes it ready-made, which
spares it the 15 ms of making it.
"""

import os
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.runtime import capabilities
from lamina.runtime.confinement import HOST, UNCONFINED
from lamina.runtime.init import PLACE as INIT
from lamina.runtime.process import Process, environment
from lamina.runtime.resources import resources, rlimits
from lamina.runtime.users import Credentials
from lamina.spec.strictjson import Json, dump

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
_READY_MADE = "run.oci.seccomp_bpf_data"  # crun(1)
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")


_ALLOWED = (  # memory devices, terminals (Documentation/admin-guide/devices.txt)
    *((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)),
    (136, None),
)


class BindMount(NamedTuple):
    """A host path seen at `target`, a path whose links are all resolved.

    `device`: it is one, or those in it can be opened.
    """

    source: str
    target: str
    readonly: bool
    device: bool = False
    recursive: bool = True


class TmpfsMount(NamedTuple):
    """An empty file system in memory, with the options of mount(8)."""

    target: str
    options: tuple[str, ...]


class Node(NamedTuple):
    """A device: its `kind` is `c` or `b`, its path the host's; `access` is what is allowed."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    access: str = "rwm"


class Host(NamedTuple):
    """What the host lets a container have.

    `bounding` is the caller's capability bounding set, `core` its hard limit of core dumps in
    bytes (-1: none), `devices` those of `DEVICES` that are in its /dev; `has_tty_group` where its
    files can belong to that group (a user namespace may lack it). `nodes` are all devices of the
    host for a privileged process, else those that are shown besides; `apparmor` where it is on.
    `group` is the control group that holds it to its limits, if there is one, and `counts_swap`
    where that can limit swap; where it `is_unified` (version 2), the container sees it as the root
    of all, as docker's do. A `user_namespace` around the caller's mounts no sysfs for a network
    that is not its own.
    """

    bounding: int
    core: int
    devices: tuple[str, ...]
    has_tty_group: bool = True
    nodes: tuple[Node, ...] = ()
    apparmor: bool = False
    group: str = ""
    counts_swap: bool = True
    is_unified: bool = False
    user_namespace: bool = False


def config(
    process: Process,
    credentials: Credentials,
    *,
    root: str,
    host: Host,
    mounts: tuple[BindMount | TmpfsMount, ...],
    hook: tuple[str, ...] = (),
    terminal_size: os.terminal_size | None = None,
    filtering: dict[str, Json] | str | None = None,
) -> bytes:
    """The bytes of `config.json`; `root` is the absolute path of the mounted root.

    `hook` is a command that the runtime executes when all is mounted (createContainer);
    `filtering` is the `linux.seccomp` object, or for crun a filter's program in base64.
    """
    rights = granted(process, host.bounding)
    document: dict[str, Json] = {
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": process.readonly_root},
        "process": {**_process(process, credentials, host, rights), **_console(terminal_size)},
        "mounts": [
            *_system(process, host),
            *(
                _bind(BindMount(f"/dev/{name}", f"/dev/{name}", False, True))
                for name in host.devices
            ),
            *(_bind(each) if isinstance(each, BindMount) else _tmpfs(each) for each in mounts),
        ],
        "hooks": {"createContainer": [{"path": hook[0], "args": list(hook)}]} if hook else {},
        "linux": _linux(process, host, filtering),
    }
    annotations: dict[str, Json] = dict(process.annotations)
    if isinstance(filtering, str):
        annotations[_READY_MADE] = filtering
    if annotations:
        document["annotations"] = annotations
    if process.confinement.uts != HOST:
        document["hostname"] = process.hostname
    return dump(document)


def process_document(
    process: Process, credentials: Credentials, host: Host, terminal_size: os.terminal_size | None
) -> bytes:
    """The bytes of one more process for a container that runs (`exec --process`)."""
    plain = process._replace(confinement=process.confinement._replace(init=False))
    rights = granted(process, host.bounding)
    return dump({**_process(plain, credentials, host, rights), **_console(terminal_size)})


def granted(process: Process, bounding: int) -> tuple[str, ...]:
    """The capabilities of a process whose starter has that bounding set; `RuntimeFailure`."""
    confinement = process.confinement
    return capabilities.granted(
        confinement.cap_add,
        confinement.cap_drop,
        privileged=process.privileged,
        bounding=bounding,
    )


def hidden_paths(process: Process) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of /proc and /sys is covered, and what is read-only."""
    shows_all = process.privileged or process.confinement.unmasked
    return ((), ()) if shows_all else (MASKED, READ_ONLY)


def _linux(
    process: Process, host: Host, filtering: dict[str, Json] | str | None
) -> dict[str, Json]:
    masked, read_only = hidden_paths(process)
    document: dict[str, Json] = {
        "namespaces": _namespaces(process, host),
        "maskedPaths": list(masked),
        "readonlyPaths": list(read_only),
        "resources": {
            "devices": _device_rules(process, host),
            **resources(process.limits, swap=host.counts_swap),
        },
    }
    if process.confinement.sysctls:
        document["sysctl"] = dict(process.confinement.sysctls)
    if host.group:
        document["cgroupsPath"] = host.group
    if process.privileged:
        document["devices"] = [_node(each) for each in host.nodes]
    if isinstance(filtering, dict):
        document["seccomp"] = filtering
    return document


def _device_rules(process: Process, host: Host) -> Json:
    """What may be opened: docker's list (moby, oci/defaults.go), and what is shown besides.

    runc keeps to a list whatever is asked for, crun where there is a control group.
    """
    if process.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Json] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    numbers: list[tuple[str, int, int | None, str]] = [("c", *each, "rwm") for each in _ALLOWED]
    numbers += [(node.kind, node.major, node.minor, node.access) for node in host.nodes]
    for kind, major, minor, access in numbers:
        rule: dict[str, Json] = {"allow": True, "type": kind, "major": major, "access": access}
        rules.append(rule if minor is None else {**rule, "minor": minor})
    return rules


def _node(node: Node) -> Json:
    return {
        "path": node.path,
        "type": node.kind,
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    }


def _process(
    process: Process, credentials: Credentials, host: Host, rights: tuple[str, ...]
) -> dict[str, Json]:
    given: Json = list(rights)
    effective = given if credentials.uid == 0 else []
    document: dict[str, Json] = {
        "terminal": process.tty,
        "user": {
            "uid": credentials.uid,
            "gid": credentials.gid,
            "umask": 0o022,
            "additionalGids": list(credentials.groups),
        },
        "args": [*((INIT, "--") if process.confinement.init else ()), *process.args],
        "env": list(environment(process, credentials.home)),
        "cwd": process.cwd,
        "capabilities": {
            "bounding": given,
            "permitted": effective,
            "effective": effective,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [*rlimits(process.limits, host.core)],
        "noNewPrivileges": process.confinement.no_new_privileges,
    }
    if process.limits.oom_score_adj:
        document["oomScoreAdj"] = process.limits.oom_score_adj
    profile = process.confinement.apparmor
    if profile not in ("", UNCONFINED):
        if not host.apparmor:
            raise RuntimeFailure(
                f"the AppArmor profile {profile!r} cannot be used: this kernel runs no AppArmor",
                hint="leave it out, or give apparmor=unconfined",
            )
        document["apparmorProfile"] = profile
    return document


def _console(size: os.terminal_size | None) -> dict[str, Json]:
    """crun takes the size from here alone."""
    return {"consoleSize": {"height": size.lines, "width": size.columns}} if size else {}


def _namespaces(process: Process, host: Host) -> Json:
    confinement = process.confinement
    kinds = ["mount"]
    modes = {"pid": confinement.pid, "ipc": confinement.ipc, "uts": confinement.uts}
    kinds += [kind for kind, mode in modes.items() if mode != HOST]
    if host.group and host.is_unified:
        kinds.append("cgroup")
    if process.network == "none":
        kinds.append("network")  # both runtimes bring its loopback up
    return [{"type": kind} for kind in kinds]


def _mount(target: str, kind: str, *options: str) -> Json:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _tmpfs(mount: TmpfsMount) -> Json:
    return _mount(mount.target, "tmpfs", *mount.options)


def _system(process: Process, host: Host) -> list[Json]:
    quiet = ("nosuid", "noexec", "nodev")
    devices = ("nosuid",) if process.privileged else ("nosuid", "nodev")
    access = "rw" if process.privileged else "ro"
    terminals = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    group = (f"gid={TTY}",) if host.has_tty_group else ()
    return [
        _mount("/proc", "proc", *quiet),
        _mount("/dev", "tmpfs", *devices, "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", *terminals, *group),
        *_shared_memory(process, host),
        _sysfs(process, host, (*quiet, access)),
        # its own limits, which many programs look for
        *([_mount("/sys/fs/cgroup", "cgroup", *quiet, access)] if host.group else ()),
    ]


def _sysfs(process: Process, host: Host, options: tuple[str, ...]) -> Json:
    """Bound, all that is mounted on it comes along: the host's control groups among it."""
    if host.user_namespace and process.network == "host":
        below = () if process.privileged else ("rro",)
        shown: list[Json] = ["rbind", "rprivate", *options, *below]
        return {"destination": "/sys", "type": "bind", "source": "/sys", "options": shown}
    return _mount("/sys", "sysfs", *options)


def _shared_memory(process: Process, host: Host) -> list[Json]:
    quiet = ("nosuid", "noexec", "nodev")
    confinement = process.confinement
    queues = _mount("/dev/mqueue", "mqueue", *quiet)
    if confinement.ipc == HOST:  # whose queues a user namespace may not mount
        shared = _bind(BindMount("/dev/shm", "/dev/shm", False))
        return [shared] if host.user_namespace else [shared, queues]
    if confinement.ipc == "none":
        return [queues]
    return [
        _mount("/dev/shm", "tmpfs", *quiet, "mode=1777", f"size={confinement.shm_size}"),
        queues,
    ]


def _bind(bind: BindMount) -> Json:
    how = ("rbind", "rprivate") if bind.recursive else ("bind", "private")  # crun mixes them up
    options: list[Json] = [*how, "ro" if bind.readonly else "rw"]
    if bind.readonly and bind.recursive:
        options.append("rro")
    if not bind.device:
        options.append("nodev")
    return {
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        "options": options,
    }
