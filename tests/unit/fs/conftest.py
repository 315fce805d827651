"""What the tests of `fs` share: no test may leave a descriptor open or a mount behind."""

import gc
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.fs.remove import remove_tree
from tests.conftest import lacking

DEEP = 5000


@pytest.fixture(autouse=True)
def nothing_is_left_open(tmp_path: Path) -> Iterator[None]:
    before = _descriptors()
    yield
    assert (_descriptors(), _mounts_beneath(tmp_path)) == (before, [])


def _descriptors() -> int:
    gc.collect()  # what earlier tests of this process let go of must not go in the middle of one
    return len(os.listdir("/proc/self/fd"))


def _mounts_beneath(folder: Path) -> list[str]:
    """Only the test's own: tests in other processes mount and unmount meanwhile."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        targets = [line.split()[4] for line in file]
    return [target for target in targets if target.startswith(f"{folder}/")]


@pytest.fixture
def memory() -> Iterator[str]:
    """A folder in memory, for what would take long on a disk; removed by our own removal."""
    path = tempfile.mkdtemp(dir="/dev/shm", prefix="lamina-test-")
    yield path
    remove_tree(path)


@pytest.fixture
def needs_trusted_xattrs(needs_root: None, needs_mounts: None, tmp_path: Path) -> None:
    """Attributes that only CAP_SYS_ADMIN sets, on a file system that keeps users' ones too."""
    for name in ("trusted.overlay.opaque", "user.test"):
        try:
            os.setxattr(tmp_path, name, b"y")
            os.removexattr(tmp_path, name)
        except OSError as error:
            lacking(f"needs a file system for {name}: {error.strerror}")


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """What a test opens at once must fit into far fewer descriptors than a tree has levels."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptors() + 300, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def deep(memory: str) -> str:
    """A tree of 5,000 levels, with a file at its end and a second name of it at the top."""
    top = f"{memory}/deep"
    os.mkdir(top)
    here = os.open(top, os.O_RDONLY)
    root = os.dup(here)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=here))
    os.link("end", "zz", src_dir_fd=here, dst_dir_fd=root)
    os.close(here)
    os.close(root)
    return top


@pytest.fixture
def file_system(needs_mounts: None) -> Iterator[Callable[..., str]]:
    """A function that makes a file system in a file and mounts it: `(size, mkfs, *options)`."""
    made: list[tuple[str, str]] = []

    def make(size: str, *mkfs: str) -> str:
        folder = tempfile.mkdtemp(dir="/dev/shm", prefix="lamina-test-")
        image, target = f"{folder}/image", f"{folder}/mounted"
        os.mkdir(target)
        made.append((folder, target))
        subprocess.run(["truncate", "-s", size, image], check=True)
        subprocess.run([*mkfs, image], check=True, capture_output=True)
        mounted = subprocess.run(
            ["mount", "-o", "loop", image, target], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            lacking(f"a loop mount is not possible here: {mounted.stderr.strip()}")
        return target

    yield make
    for folder, target in made:
        subprocess.run(["umount", target], capture_output=True, check=False)
        remove_tree(folder)
