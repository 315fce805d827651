"""A disk that is full, or gets full at any moment: one clear line, nothing left, and it can be
emptied.
"""

import errno
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from tests.crash.crash_victim import (
    OPERATIONS,
    Operation,
    Victim,
    assert_between,
    begin_with_many,
    prepare,
)

_PIECE = 600_000  # bytes: three of them are more than the reserve of a store
_LEVELS = range(0, 2816, 64)  # KiB left free: from none at all to enough
_FEW = (0, 640, 1536)
_BIG = ("import", "load", "build", "commit")
_SMALL = ("rmi", "rm", "create", "run", "tag", "prune", "save", "cp-in")


@pytest.fixture
def disk(scratch: str, needs_mounts: None, needs_program) -> Iterator[str]:
    """A small file system, with the blocks of 1 KiB that small ones have."""
    image, mounted = f"{scratch}/disk", f"{scratch}/mounted"
    os.mkdir(mounted)
    with open(image, "wb") as file:
        file.truncate(40 << 20)
    subprocess.run([needs_program("mkfs.ext4"), "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


def _prepared(disk: str, scratch: str, storage: str, name: str) -> Victim:
    victim = prepare(Victim(f"{disk}/v", storage), OPERATIONS[name])
    victim.saved = f"{scratch}/saved"
    pieces = {f"piece{number}": os.urandom(_PIECE) for number in range(3)}
    if name == "import":
        _write_tar(f"{victim.folder}/third.tar", pieces)
    elif name == "commit":
        where = json.loads(victim.ok("inspect", "c1"))[0]["GraphDriver"]["Data"]
        _write_all(where.get("UpperDir") or where["SourceDir"], pieces)
    elif name in ("build", "load"):
        _write_all(f"{victim.folder}/context", {"a": pieces["piece0"] * 2, "b": b"b"})
    if name == "load":
        victim.ok("build", "-q", "-t", "built", "context")
        victim.ok("save", "-o", "load.tar", "built")
        victim.ok("rmi", "built")
    victim.save_state()
    return victim


def _write_tar(path: str, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _write_all(folder: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


def _fill(folder: str, left: int) -> str:
    """Take all room but `left` KiB; gives the path of what takes it."""
    path = f"{folder}/filler"
    status = os.statvfs(folder)
    size = status.f_bavail * status.f_frsize - (left << 10)
    with open(path, "wb", buffering=0) as file:
        try:
            while left == 0 or size > 0:
                size -= file.write(bytes(max(min(size, 1 << 16), 1 << 10)))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return path


def _fails_cleanly_or_succeeds(victim: Victim, name: str, levels: "range | tuple[int, ...]") -> int:
    """How often it failed for want of room."""
    return _fails_cleanly(victim, OPERATIONS[name], levels)


def _fails_cleanly(victim: Victim, operation: Operation, levels: "range | tuple[int, ...]") -> int:
    before = victim.state()
    victim.ok(*operation.words)
    after = victim.state()
    failed = 0
    for left in levels:
        victim.restore_state()
        filler = _fill(victim.folder, left)
        done = victim.run(*operation.words)
        assert victim.run("images").returncode == 0, left
        os.unlink(filler)
        victim.assert_sound()
        if done.returncode == 0:
            assert_between(victim.state(), after, after, operation)
            continue
        failed += 1
        assert done.returncode == 1, (left, done)
        assert done.stderr.count("\n") == 1, (left, done)
        assert "No space left on device" in done.stderr or "disk is full" in done.stderr
        assert_between(victim.state(), before, after if operation.steps else before, operation)
        victim.ok(*operation.words)
        assert_between(victim.state(), after, after, operation)
    return failed


def test_a_disk_that_gets_full(disk, scratch):
    victim = _prepared(disk, scratch, "overlay2", "import")
    assert _fails_cleanly_or_succeeds(victim, "import", _FEW) == len(_FEW)


def test_a_disk_that_gets_full_while_a_layer_stands_on_the_one_before(disk, scratch):
    victim = prepare(Victim(f"{disk}/v", "overlay2"), OPERATIONS["build"])
    victim.saved = f"{scratch}/saved"
    operation = Operation(begin_with_many(victim), steps=True)
    pieces = {f"piece{number}": os.urandom(_PIECE) for number in range(3)}
    _write_all(f"{victim.folder}/many/files", pieces)
    victim.save_state()
    assert _fails_cleanly(victim, operation, (*_FEW, 4096)) == len(_FEW)


def test_a_full_disk_can_be_emptied(disk, scratch):
    """Removing needs room first: the store has kept some."""
    victim = _prepared(disk, scratch, "overlay2", "rmi")
    _fill(victim.folder, 0)
    victim.ok("rmi", "second")
    victim.ok("rm", "c1")
    victim.ok("rmi", "base")
    victim.ok("prune", "-f")
    victim.assert_sound()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", _BIG)
@pytest.mark.parametrize("storage", ["overlay2", "vfs"])
def test_a_disk_that_gets_full_at_any_moment(disk, scratch, storage, name):
    victim = _prepared(disk, scratch, storage, name)
    assert _fails_cleanly_or_succeeds(victim, name, _LEVELS) > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", _SMALL)
@pytest.mark.parametrize("storage", ["overlay2", "vfs"])
def test_what_needs_little_works_on_a_full_disk(disk, scratch, storage, name, needs_program):
    if OPERATIONS[name].box:
        needs_program("busybox")
        if storage == "vfs":
            pytest.skip("a copy of an image with programs needs more than a little")
    victim = _prepared(disk, scratch, storage, name)
    _fails_cleanly_or_succeeds(victim, name, _FEW)


def test_no_store_is_begun_without_room(disk, scratch):
    victim = _prepared(disk, scratch, "overlay2", "import-first")
    filler = _fill(victim.folder, 0)
    done = victim.run("images")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    os.unlink(filler)
    victim.ok("import", "second.tar", "third")
    shutil.rmtree(victim.root)


@pytest.mark.parametrize(
    "left", [0, 128, 700, *(pytest.param(each, marks=pytest.mark.matrix) for each in (8, 300))]
)
def test_a_migration_that_fills_the_disk_can_go_on_or_be_given_up(disk, scratch, left):
    victim = _prepared(disk, scratch, "overlay2", "commit")
    victim.driver = None
    before = victim.state()
    for words in (("migrate", "--abort"), ("migrate", "--to", "vfs")):
        filler = _fill(victim.folder, left)
        done = victim.run("migrate", "--to", "vfs")
        assert done.returncode == 1, done
        assert done.stderr.count("\n") == 1, done
        assert "No space left on device" in done.stderr or "disk is full" in done.stderr
        assert victim.ok("info", "--format", "{{.Driver}}") == "overlay2\n"
        if words[-1] == "--abort":
            victim.ok(*words)
        os.unlink(filler)
        if words[-1] == "--abort":
            victim.assert_sound()
            assert victim.state() == before
    victim.ok(*words)
    victim.assert_sound()
    assert victim.ok("info", "--format", "{{.Driver}}") == "vfs\n"
