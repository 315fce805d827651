"""The filter of system calls that a start gets, made once for all starts that are like it.

<run_dir>/filters/<SHA-256 of what is filtered>     the program, 0600

Appears whole: it is linked there when all is written. Where a power cut took its bytes (a run root
may lie on a disk) it is made anew: an empty program would filter nothing. What becomes of the
calls is said in lamina.runtime; how it comes into force is the business of who starts the process.
"""

import hashlib
import os
from binascii import b2a_base64
from contextlib import suppress

from lamina.errors import RuntimeFailure, StorageError
from lamina.fs.atomic import unlink_if_there, write_all
from lamina.kernel.namespaces import (
    CAP_SYS_ADMIN,
    bounding_capabilities,
    filters_calls,
    has_capability,
)
from lamina.runtime.bundle import granted
from lamina.runtime.confinement import UNCONFINED
from lamina.runtime.isolation import Isolation
from lamina.runtime.process import Process
from lamina.runtime.syscalls import Machine, default, rendered
from lamina.spec.strictjson import Json
from lamina.values.syscallfilter import Filter

_INSTRUCTION = 8  # bytes (linux/filter.h)
_LIMIT = 4096 * _INSTRUCTION  # what the kernel takes (BPF_MAXINSNS)


def filters(isolation: Isolation) -> bool:
    """Whether system calls can be filtered here for who asks for nothing more (seccomp(2))."""
    return filters_calls() and (isolation.name != "chroot" or has_capability(CAP_SYS_ADMIN))


def filtering(process: Process, isolation: Isolation, run_dir: str) -> dict[str, Json] | str | None:
    """What `lamina.runtime.bundle.config` gets for a process.

    A kernel that filters nothing is no reason to fail where nobody asked for a filter. Raises
    `UsageError` for a profile that is none, `RuntimeFailure` for capabilities that are not had.
    """
    wanted = _filter_of(process)
    if wanted is None or not (process.confinement.seccomp or filters_calls()):
        return None
    made = None if isolation.name == "runc" else _ready_made(wanted, run_dir)
    return rendered(wanted) if made is None else b2a_base64(made, newline=False).decode()


def program_for(process: Process, run_dir: str) -> bytes:
    """The program that a process of ours takes itself, empty for none; raises as `filtering`.

    Also `RuntimeFailure` where a filter that was asked for cannot be had.
    """
    wanted = _filter_of(process)
    may = has_capability(CAP_SYS_ADMIN) or process.confinement.no_new_privileges  # seccomp(2)
    made = _ready_made(wanted, run_dir) if wanted and may and filters_calls() else None
    if wanted and made is None and process.confinement.seccomp:
        raise RuntimeFailure(
            "a chroot cannot confine a container by this profile of seccomp here",
            hint="it takes libseccomp (package libseccomp2), and the right to mount or"
            " no-new-privileges; or install crun",
        )
    return made or b""


def _filter_of(process: Process) -> Filter | None:
    profile = process.confinement.seccomp
    if profile == UNCONFINED or (process.privileged and not profile):
        return None
    here = os.uname()
    major, minor = (int(part) for part in here.release.split("-")[0].split(".")[:2])
    rights = frozenset(granted(process, bounding_capabilities()))
    machine = Machine(here.machine, (major, minor), rights)
    if not profile:
        return default(machine)
    from lamina.runtime.seccomp import converted  # few bring their own

    return converted(profile, machine)


def _ready_made(wanted: Filter, run_dir: str) -> bytes | None:
    """The program of a filter; None where it can only be made by the runtime."""
    name = hashlib.sha256(repr(wanted).encode()).hexdigest()
    path = os.path.join(run_dir, "filters", name)
    kept = _kept(path)
    if kept:
        return kept
    from lamina.kernel.seccomp import program  # once for all starts that are alike

    made = program(wanted)
    if made is not None:
        with suppress(OSError, StorageError):  # a full disk: it is made each time
            _keep(made, path)
    return made


def _kept(path: str) -> bytes:
    """The program that lies there; empty, and nothing lies there, when there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
    except FileNotFoundError:
        return b""
    if 0 < len(data) <= _LIMIT and not len(data) % _INSTRUCTION and any(data):
        return data
    unlink_if_there(path)
    return b""


def _keep(made: bytes, path: str) -> None:
    from lamina.fs.newfile import new_file  # as above

    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with new_file(path, mode=0o600) as descriptor:
        write_all(descriptor, made)
