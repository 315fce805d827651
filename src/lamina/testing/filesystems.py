"""Real file systems to try drivers on, made in memory and gone afterwards.

Each is a context manager that gives the path where it is mounted, or raises `Unavailable` in
words that a skipped test can show.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lamina.fs.private import enter_private_namespace
from lamina.kernel.mount import mount
from lamina.kernel.namespaces import CLONE_NEWNS, setns

_PATIENCE = 60.0  # seconds for a daemon to come up, or to let go of a pool
_POLL = 0.05


class Unavailable(Exception):
    """This machine cannot make that file system."""


@contextmanager
def loop_mounted(make: list[str], size: str, options: str = "") -> Iterator[str]:
    """A file system that `make` makes in a file; its loop device goes with the mount."""
    _need(make[0])
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        image, target = f"{folder}/image", f"{folder}/mounted"
        os.mkdir(target)
        _do("truncate", "-s", size, image)
        _do(*make, image)
        _do("mount", "-o", ",".join(filter(None, ("loop", options))), image, target)
        try:
            yield target
        finally:
            subprocess.run(["umount", target], check=True)


@contextmanager
def zfs_pool(size: str = "512M") -> Iterator[str]:
    """A pool in a file: of OpenZFS where it runs, else of a zfs-fuse of our own.

    zfs-fuse is one to a machine by the places where it keeps its socket and its lock. So the
    calling thread, which should be the process's first, has a mount namespace of its own for the
    time, with these places empty; what it starts meanwhile finds our daemon and our pool there.
    """
    for program in ("zpool", "zfs"):
        _need(program)
    daemon = nullcontext() if os.path.exists("/dev/zfs") else _zfs_daemon()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, daemon:
        pool = f"lamina-test-{os.getpid()}"
        _do("truncate", "-s", size, f"{folder}/image")
        target = f"{folder}/mounted"
        create = ["zpool", "create", "-f", "-o", "cachefile=none", "-m", target]
        _do(*create, pool, f"{folder}/image")
        try:
            yield target
        finally:
            until_done("zpool", "destroy", "-f", pool)


@contextmanager
def _zfs_daemon() -> Iterator[None]:
    _need("zfs-fuse")
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_private_namespace()
        for path in ("/run/zfs", "/run/lock/zfs", "/var/lib/zfs"):
            os.makedirs(path, exist_ok=True)
            mount("tmpfs", path, "tmpfs")
        command = ["zfs-fuse", "-n", "-x", "--no-kstat-mount"]  # -x: with extended attributes
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as daemon:
            try:
                until_done("zpool", "list")
                yield
            finally:
                daemon.terminate()
    finally:
        here = os.getcwd()
        setns(before, CLONE_NEWNS)
        os.chdir(here)  # setns(2) goes to the root
        os.close(before)


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise Unavailable(f"needs the program {program}")


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:2])}: {done.stderr.strip()}")


def _answers(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=3)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def until_done(*command: str) -> None:
    """Repeat a command until it succeeds: a pool that was just used is busy for a moment."""
    limit = time.monotonic() + _PATIENCE
    while not _answers(*command):
        if time.monotonic() > limit:
            raise Unavailable(f"{' '.join(command[:2])} gave no answer")
        time.sleep(_POLL)
