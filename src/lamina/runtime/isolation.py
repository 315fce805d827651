"""What keeps a container apart here: crun, else runc, else a chroot; and why.

Tried cheaply: the right to mount, and whether the program is there. A version is shown, never
decides. Where cgroup v1 and a small cgroup v2 tree are mounted side by side ("hybrid"), crun
refuses to start unless the latter is covered in its mount namespace.
"""

import os
from typing import NamedTuple

from lamina.errors import ProgramMissing, UsageError
from lamina.kernel.namespaces import CAP_SYS_ADMIN, has_capability

_UNIFIED = "/sys/fs/cgroup/unified"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {"crun": "crun", "runc": "runc"}


class Isolation(NamedTuple):
    """How a container is started: by `program` (empty for a chroot), `cover` a directory that
    must be hidden from it (empty for none).
    """

    name: str
    program: str
    cover: str
    reason: str


def choose(preferred: str | None = None) -> Isolation:
    """The best isolation that works here, or the preferred one.

    Raises `ProgramMissing` naming the package, or `UsageError` for an unknown name.
    """
    may_mount = has_capability(CAP_SYS_ADMIN)
    if preferred is not None:
        return _preferred(preferred, may_mount)
    if not may_mount:
        return Isolation("chroot", "", "", "mounting is not allowed here (no CAP_SYS_ADMIN)")
    for name in ("crun", "runc"):
        program = find_program(name)
        if program is not None:
            return _oci(name, program)
    return Isolation("chroot", "", "", "neither crun nor runc is installed")


def _preferred(name: str, may_mount: bool) -> Isolation:
    if name == "chroot":
        return Isolation("chroot", "", "", "it was asked for")
    if name not in PACKAGES:
        raise UsageError(f"no isolation is called {name!r}", hint="there are crun, runc, chroot")
    program = find_program(name)
    if program is None:
        raise ProgramMissing(
            f"the program {name} is not installed", hint=f"install the package {PACKAGES[name]}"
        )
    if not may_mount:
        raise ProgramMissing(
            f"{name} needs the right to mount (CAP_SYS_ADMIN)", hint="use the chroot isolation"
        )
    return _oci(name, program)


def _oci(name: str, program: str) -> Isolation:
    cover = _UNIFIED if name == "crun" and os.path.ismount(_UNIFIED) else ""
    return Isolation(name, program, cover, f"{program} is installed")


def find_program(name: str) -> str | None:
    """The path of a system program, looked for in PATH and the usual folders."""
    for folder in f"{os.environ.get('PATH', '')}:{_PATH}".split(":"):
        path = os.path.join(folder, name)
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return None
