"""What the demo brings along: the base archive, the 200 MB archive, and a store of its own.

Large files are made once in .cache and linked into the build contexts, so that a context is the
same from run to run.
"""

import contextlib
import fcntl
import io
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator

from demo.stage import CHECKOUT, Failure, Stage
from scripts.apt import find, require

CACHE = os.path.join(CHECKOUT, ".cache")
_PART = 10_000_000
_PARTS = 19
_WHEN = 1_700_000_000


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One demo at a time in a checkout; the lock dies with its holder."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "demo.lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another demo is running in this checkout") from None
        yield


def environment() -> dict[str, str]:
    """The user's environment with this checkout's `lamina` in front."""
    path = os.path.join(CHECKOUT, ".venv", "bin")
    return {**os.environ, "PATH": f"{path}:{os.environ.get('PATH', os.defpath)}"}


def store(fresh: bool) -> str:
    """The root that the demo works on: LAMINA_ROOT, or one per driver below .cache.

    A store keeps the driver of its layers, so a demo that may not mount has to have another
    root than one that may.
    """
    given = os.environ.get("LAMINA_ROOT")
    if given:
        if fresh:
            raise Failure("FRESH= erases the demo's own store only; unset LAMINA_ROOT")
        return os.path.abspath(given)
    path = os.path.join(CACHE, "demo", _driver_of_choice())
    if fresh:
        subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)
    return path


def _driver_of_choice() -> str:
    """What Lamina itself chooses for a new store on this disk."""
    os.makedirs(os.path.join(CACHE, "demo"), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.join(CACHE, "demo")) as trial:
        where = ["--root", os.path.join(trial, "root"), "--run-root", os.path.join(trial, "run")]
        return Stage(environment()).ask(*where, "info", "--format", "{{.Driver}}")


def runtime() -> None:
    """An OCI runtime, where there is none: without one chroot alone isolates containers."""
    if find("crun") is None and find("runc") is None and can_mount():
        require(["crun"], "isolating containers")


def can_mount() -> bool:
    """Whether this process holds CAP_SYS_ADMIN (bit 21, include/uapi/linux/capability.h)."""
    with open("/proc/self/status", encoding="ascii") as status:
        held = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) >> 21 & 1)


def place(source: str, *targets: str) -> None:
    """Have `source` at each target: the same file where links reach, a copy elsewhere."""
    for target in targets:
        with contextlib.suppress(OSError):
            if _same(os.stat(source), os.stat(target)):
                continue
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def large_archive() -> str:
    """app.tar.gz: 200 MB that do not compress, with a program of 10 MB in it."""
    path = os.path.join(CACHE, "app.tar.gz")
    if not os.path.exists(path):
        partial = path + ".partial"
        with tarfile.open(partial, "w:gz", compresslevel=0) as packed:
            noise = random.Random(200)
            _add(packed, "app/tool", noise.randbytes(_PART), 0o755)
            for part in range(_PARTS):
                _add(packed, f"app/sources/part-{part:02d}", noise.randbytes(_PART), 0o644)
        os.utime(partial, (_WHEN, _WHEN))
        os.replace(partial, path)
    return path


def _add(packed: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), mode, _WHEN
    packed.addfile(member, io.BytesIO(content))
