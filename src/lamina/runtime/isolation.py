"""What keeps a container apart here: crun, else runc, else a chroot; and why.

Tried cheaply: the right to mount, and whether the programs are there. A version is shown, never
decides. Where cgroup v1 and a small cgroup v2 tree are mounted side by side ("hybrid"), crun
refuses to start unless the latter is covered in its mount namespace.
"""

import os
from typing import NamedTuple

from lamina.errors import ProgramMissing, UsageError
from lamina.kernel.namespaces import CAP_SYS_ADMIN, has_capability

_UNIFIED = "/sys/fs/cgroup/unified"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMES = ("crun", "runc", "chroot")
PACKAGES = {
    "crun": "crun",
    "runc": "runc",
    "unshare": "util-linux",
    "cat": "coreutils",
    "mount": "mount",
    "git": "git",
}
_HELPERS = {"crun": ("crun", "unshare", "cat", "mount"), "runc": ("runc", "unshare", "cat")}


class Isolation(NamedTuple):
    """How a container is started: by `program` (empty for a chroot), `cover` a directory that
    must be hidden from it (empty for none).
    """

    name: str
    program: str
    cover: str
    reason: str


class Verdict(NamedTuple):
    """Whether one isolation works here, and why (not)."""

    name: str
    works: bool
    reason: str


def choose(preferred: str | None = None) -> Isolation:
    """The best isolation that works here, or the preferred one.

    Raises `ProgramMissing` naming the package, or `UsageError` for an unknown name.
    """
    if preferred is not None:
        return _preferred(preferred)
    refused: list[str] = []
    for verdict in why():
        if verdict.works:
            reason = "; ".join([verdict.reason, *refused])
            return _isolation(verdict.name, reason)
        refused.append(f"not {verdict.name}: {verdict.reason}")
    raise AssertionError("a chroot always works")


def runtime() -> Isolation:
    """The best OCI runtime that works here; raises `ProgramMissing`."""
    runtimes = [each for each in why() if each.name != "chroot"]
    found = next((each for each in runtimes if each.works), None)
    if found is None:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in runtimes)
        raise ProgramMissing(f"no OCI runtime works here: {reasons}", hint="use chroot")
    return _isolation(found.name, found.reason)


def why() -> tuple[Verdict, ...]:
    """What is said of each isolation, best first."""
    may_mount = has_capability(CAP_SYS_ADMIN)
    return (*(_oci_verdict(name, may_mount) for name in NAMES[:-1]), _chroot_verdict(may_mount))


def _oci_verdict(name: str, may_mount: bool) -> Verdict:
    if not may_mount:
        return Verdict(name, False, "mounting is not allowed here (no CAP_SYS_ADMIN)")
    for program in _HELPERS[name]:
        if find_program(program) is None:
            words = f"{program} is not installed (package {PACKAGES[program]})"
            return Verdict(name, False, words)
    return Verdict(name, True, f"{find_program(name)} is installed")


def _chroot_verdict(may_mount: bool) -> Verdict:
    how = "with /proc, /dev and /sys" if may_mount else "without /proc, volumes and namespaces"
    return Verdict("chroot", True, f"works everywhere, here {how}")


def _preferred(name: str) -> Isolation:
    if name not in NAMES:
        raise UsageError(
            f"no isolation is called {name!r}", hint=f"choose one of {', '.join(NAMES)}"
        )
    verdict = next(each for each in why() if each.name == name)
    if not verdict.works:
        raise ProgramMissing(
            f"the isolation {name} does not work here: {verdict.reason}",
            hint="install it, or use another one",
        )
    return _isolation(name, "it was asked for")


def _isolation(name: str, reason: str) -> Isolation:
    if name == "chroot":
        return Isolation(name, "", "", reason)
    cover = _UNIFIED if name == "crun" and os.path.ismount(_UNIFIED) else ""
    return Isolation(name, needed_program(name), cover, reason)


def find_program(name: str) -> str | None:
    """The path of a system program, looked for in PATH and the usual folders."""
    for folder in f"{os.environ.get('PATH', '')}:{_PATH}".split(":"):
        path = os.path.join(folder, name)
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return None


def has_apparmor() -> bool:
    """Whether the kernel confines programs by AppArmor."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
            return file.read().startswith("Y")
    except OSError:
        return False


def needed_program(name: str) -> str:
    """The same; raises `ProgramMissing` naming the package."""
    path = find_program(name)
    if path is None:
        raise ProgramMissing(
            f"the program {name} is not installed", hint=f"install {PACKAGES.get(name, name)}"
        )
    return path
