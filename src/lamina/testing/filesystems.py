"""Real file systems to try drivers on, made in memory and gone afterwards.

Each is a context manager that gives the path where it is mounted, or raises `Unavailable` in
words that a skipped test can show.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from lamina.fs.spawn import spawn

_PATIENCE = 60.0  # seconds for a daemon to come up, or to let go of a pool
_POLL = 0.05
_LOCKS = "/run/lock/lamina-test-zfs"


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
    """A pool in a file: of OpenZFS where it runs, else of zfs-fuse, started for it."""
    for program in ("zpool", "zfs"):
        _need(program)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, _zfs_daemon():
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
    """zfs-fuse is one to a machine: the first who needs it starts it, the last one ends it."""
    with _locked("turn") as turn:
        users = open(f"{_LOCKS}.users", "w", encoding="ascii")  # noqa: SIM115 - held until the end
        fcntl.flock(users, fcntl.LOCK_SH)
        if not _answers("zpool", "list"):
            _start_daemon()
        fcntl.flock(turn, fcntl.LOCK_UN)
    try:
        yield
    finally:
        with users, _locked("turn"):
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # others are at it
            else:
                _end_daemon()


@contextmanager
def _locked(name: str) -> Iterator[IO[str]]:
    with open(f"{_LOCKS}.{name}", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _start_daemon() -> None:
    _need("zfs-fuse")
    program = shutil.which("zfs-fuse")
    assert program is not None
    command = [program, "-n", "-x", "--no-kstat-mount"]  # -x: with extended attributes
    pid = spawn(command, {0: None, 1: None, 2: None})
    with open(f"{_LOCKS}.pid", "w", encoding="ascii") as file:
        file.write(str(pid))
    until_done("zpool", "list")


def _end_daemon() -> None:
    """End the daemon that one of us started, and wait until it is gone."""
    try:
        with open(f"{_LOCKS}.pid", encoding="ascii") as file:
            pid = int(file.read())
        os.unlink(f"{_LOCKS}.pid")
        handle = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError):
        return  # it was here before us, or is gone
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            if file.read() == "zfs-fuse\n":
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                poller.poll(_PATIENCE * 1000)
    finally:
        os.close(handle)


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
