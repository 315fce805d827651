"""Debian's kernel and an initial memory disk for it, fetched by its package's name and kept.

The package is unpacked, never installed. Without the modules that no test needs it takes 150 MB
in the user's cache. Knows nothing of what is run on it.
"""

import fcntl
import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from scripts.apt import Missing, find, missing, require, say, update_lists

META = "linux-image-amd64"  # names the kernel of the distribution's day
_FORM = 1  # counts up when what is kept is made in another way
_PROGRAMS = (
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("modprobe", "kmod"),
)
_LEFT_OUT = ("drivers/gpu", "drivers/net", "drivers/media", "drivers/staging", "sound")
_FIRST_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_APPLETS = ("sh", "mount", "insmod", "mkdir", "switch_root")
_FOLDERS = ("bin", "modules", "proc", "dev", "lower", "upper", "root")


class Kernel(NamedTuple):
    """What a guest boots from, and the folder that is to be its /lib/modules/<version>."""

    image: str
    initrd: str
    modules: str


def kernel() -> Kernel:
    """Debian's kernel, fetched where it is not here yet; raises `Missing`."""
    require(missing(_PROGRAMS), "the virtual machine")
    package = _package()
    with _cache(f"{package}-{_FORM}") as folder:
        if not os.path.exists(f"{folder}/initrd.gz"):
            say(f"vm: fetching {package} (once; kept in {folder})")
            _fetch(package, folder)
            _make_initrd(folder)
        (version,) = os.listdir(f"{folder}/lib/modules")
        return Kernel(
            f"{folder}/boot/vmlinuz-{version}",
            f"{folder}/initrd.gz",
            f"{folder}/lib/modules/{version}",
        )


def _package() -> str:
    for last in (False, True):
        said = subprocess.run(
            ["apt-cache", "depends", META], capture_output=True, text=True, check=False
        )
        for line in said.stdout.splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind == "Depends" and name.startswith("linux-image-"):
                return name
        if not last:
            update_lists()
    raise Missing(f"this host's apt sources have no package {META}")


@contextmanager
def _cache(key: str) -> Iterator[str]:
    """The folder for `key`, to one process at a time; the lock dies with its holder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "lamina", "vm", key)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _fetch(package: str, folder: str) -> None:
    for name in os.listdir(folder):  # what a killed one left
        if name.endswith(".deb"):
            os.unlink(f"{folder}/{name}")
    for name in ("boot", "lib"):
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    _run(["apt-get", "download", "-q", package], folder)
    (archive,) = [name for name in os.listdir(folder) if name.endswith(".deb")]
    without = [f"--exclude=*/{each}" for each in _LEFT_OUT]
    _run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -x --exclude=./usr "$@"', archive,
          *without], folder)  # fmt: skip
    os.unlink(f"{folder}/{archive}")
    (version,) = os.listdir(f"{folder}/lib/modules")
    _run([_program("depmod"), "-b", folder, version], folder)


def _make_initrd(folder: str) -> None:
    """One with busybox, the modules for 9p and overlayfs, and `init.sh`; published by a rename."""
    tree = f"{folder}/tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in _FOLDERS:
        os.makedirs(f"{tree}/{name}")
    shutil.copy(_program("busybox"), f"{tree}/bin/busybox")
    for name in _APPLETS:
        os.symlink("busybox", f"{tree}/bin/{name}")
    for number, module in enumerate(_first_modules(folder), 100):
        shutil.copy(module, f"{tree}/modules/{number}.ko")
    shutil.copy(os.path.join(os.path.dirname(__file__), "init.sh"), f"{tree}/init")
    os.chmod(f"{tree}/init", 0o755)
    names = "\n".join(sorted(_names(tree))).encode()
    packed = _run([_program("cpio"), "-o", "-H", "newc", "--quiet"], tree, names)
    with gzip.open(f"{folder}/initrd.partial", "wb", compresslevel=1) as file:
        file.write(packed)
    os.replace(f"{folder}/initrd.partial", f"{folder}/initrd.gz")
    shutil.rmtree(tree)


def _first_modules(folder: str) -> list[str]:
    """Their files, what is needed first first."""
    (version,) = os.listdir(f"{folder}/lib/modules")
    wanted: list[str] = []
    for module in _FIRST_MODULES:
        ask = [_program("modprobe"), "-d", folder, "-S", version, "--show-depends", module]
        for line in _run(ask, folder).decode().splitlines():
            wanted += line.split()[1:2]
    return list(dict.fromkeys(wanted))


def _names(tree: str) -> Iterator[str]:
    for at, folders, files in os.walk(tree):
        yield from (os.path.relpath(f"{at}/{name}", tree) for name in (*folders, *files))


def _program(name: str) -> str:
    path = find(name)
    if path is None:
        raise Missing(f"the virtual machine needs the program {name}")
    return path


def _run(command: list[str], folder: str, data: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=data, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise Missing(f"the virtual machine: {command[0]} failed: {words[-1]}")
    return done.stdout
