"""The ground of one round: a fresh ext4 on a loop device, and a short folder for sockets.

Knows nothing of what runs on it.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from scripts.apt import Missing

_SIZE = 12 << 30  # sparse: only what is written takes memory
_LARGE = 48 << 30  # on a disk, where that has room


class Ground(NamedTuple):
    """`disk` is the mounted file system, `run` a folder on the host for sockets and pid files."""

    disk: str
    run: str


def fresh() -> "contextlib.AbstractContextManager[Ground]":
    """A new file system in memory, mounted; unmounted and gone afterwards whatever happened."""
    return _made("/dev/shm" if os.access("/dev/shm", os.W_OK) else None, _SIZE)


def large() -> "contextlib.AbstractContextManager[Ground]":
    """The same on the disk that /var/tmp is on, for what does not fit into memory."""
    return _made("/var/tmp", _LARGE)


@contextlib.contextmanager
def _made(folder: str | None, size: int) -> Iterator[Ground]:
    with contextlib.ExitStack() as stack:
        image = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix="lamina-bench-"))
        os.truncate(image.fileno(), size)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image.name)
        home = tempfile.mkdtemp(prefix="lamina-bench-")
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        ground = Ground(os.path.join(home, "disk"), os.path.join(home, "run"))
        os.mkdir(ground.disk)
        os.mkdir(ground.run)
        _run("mount", "-o", "loop", image.name, ground.disk)
        stack.callback(_unmount, home)
        yield ground


def _unmount(home: str) -> None:
    """Everything below `home`, the innermost mount first: peers forget some of theirs."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
        points = [line.split()[1] for line in table]
    for point in sorted((p for p in points if p.startswith(home + "/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(argv)}: {done.stderr.strip()}")
