"""Killed at every system call that changes something, by strace; slow, so `make crash` runs it.

Point N is the state after N-1 calls of that name. Each kill must really have happened.
"""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable

import pytest

from lamina.errors import LaminaError
from tests.crash.crash_victim import (
    OPERATIONS,
    Operation,
    State,
    Victim,
    assert_between,
    was_killed,
)

_NAMES = (
    "chmod chown copy_file_range fallocate fchmod fchmodat fchown fchownat fdatasync fremovexattr"
    " fsetxattr fsync ftruncate ioctl lchown link linkat lsetxattr mkdir mkdirat mknod mknodat mount"
    " mount_setattr move_mount pwrite64 pwritev rename renameat renameat2 rmdir sendfile setxattr"
    " symlink symlinkat syncfs umount2 unlink unlinkat unshare utimensat write writev fsmount"
    " clone clone3 vfork"
)
_CALLS = tuple(_NAMES.split())
_OPENING = ("open", "openat", "openat2", "creat")
_ENTERED = re.compile(r"(\d+)\s+(\w+)\((.*)")
_PATH = re.compile(r'"(/[^"]*)"')
_CHANGING_IOCTLS = ("BTRFS_IOC", "FICLONE", "FS_IOC_", "LOOP_")
_SHARDS = 3  # so that the matrix spreads evenly over processes
# A driver beyond the first three adds no row and no blob: what it is asked to do is enough.
_OF_DRIVERS = ("import", "commit", "rmi", "create", "rm", "run")
_CASES: list[object] = [
    (storage, name) for storage in ("overlay2", "vfs", "erofs") for name in OPERATIONS
]
_CASES += [
    (storage, name) for storage in ("fuse-overlayfs", "btrfs", "zfs") for name in _OF_DRIVERS
]


def _strace(log: str, *expressions: str) -> tuple[str, ...]:
    """Of the command alone: what it executes is let go. (--seccomp-bpf would inject nothing.)"""
    options = [word for each in expressions for word in ("-e", each)]
    return ("strace", "-f", "-b", "execve", "-qq", "-o", log, *options)


def points(log: str, there: Callable[[str], bool]) -> list[tuple[str, int]]:
    """Each call that changes something, with its number among those of its name and thread.

    A call that fails changes nothing, nor do opening what is `there` before and most ioctls.
    """
    made: defaultdict[tuple[str, str], int] = defaultdict(int)
    found = []
    with open(log, errors="replace") as file:
        for line in file:
            entered = _ENTERED.match(line)
            if entered is None:
                continue
            thread, call, rest = entered.groups()
            made[thread, call] += 1
            if " = -1 E" not in rest and _changes(call, rest, there):
                found.append((call, made[thread, call]))
    return list(dict.fromkeys(found))


def _changes(call: str, arguments: str, there: Callable[[str], bool]) -> bool:
    if call == "ioctl":
        return any(each in arguments for each in _CHANGING_IOCTLS)
    if call not in _OPENING:
        return True
    path = _PATH.search(arguments)
    known = path is not None and there(path[1])
    return not known and ("O_CREAT" in arguments or "O_TMPFILE" in arguments)


@pytest.mark.exhaustive
@pytest.mark.parametrize("shard", range(_SHARDS))
@pytest.mark.parametrize(("storage", "name"), _CASES)
def test_killed_at_every_mutating_call(victim_of, needs_program, scratch, storage, name, shard):
    needs_program("strace")
    operation = OPERATIONS[name]
    victim = victim_of(storage, name)
    victim.ok(*operation.words)
    after = victim.state()
    victim.restore_state()
    log = f"{scratch}/calls"
    watch = _strace(log, "trace=" + ",".join((*_CALLS, *_OPENING)))
    done = victim.run(*operation.words, prefix=watch)
    assert done.returncode == 0, done.stderr
    victim.restore_state()
    if operation.fresh:
        victim.ok("images")
    before = victim.state()
    there = points(log, victim.was_there)
    assert len(there) > 10
    wrong = []
    for call, number in there[shard::_SHARDS]:
        try:
            victim.restore_state()
        except OSError as error:
            wrong.append(f"then nothing could go back to where it began: {error}")
            break
        inject = f"inject={call}:signal=KILL:when={number}"
        under = _strace("/dev/null", f"trace={call}", inject)
        done = victim.run(*operation.words, prefix=under)
        assert was_killed(done.returncode), (call, number, done)
        try:
            _judge(victim, operation, before, after)
        except (AssertionError, LaminaError) as error:
            wrong.append(f"killed at {call} number {number}: {error}")
    assert not wrong, f"{len(wrong)} of {len(there)}:\n" + "\n".join(wrong)


def _judge(victim: Victim, operation: Operation, before: State, after: State) -> None:
    """Sound after the kill, and done a second time it ends as if nothing had happened."""
    victim.assert_sound()
    now = victim.state()
    assert_between(now, before, after, operation)
    again = victim.run(*operation.words)
    if operation.repeatable or now == before:
        assert again.returncode == 0, again.stderr
        victim.assert_settled()
        assert_between(victim.state(), after, after, operation)


def test_strace_really_kills(needs_program, tmp_path):
    """The harness: an injected kill ends the process by SIGKILL, before the call."""
    needs_program("strace")
    inject = _strace("/dev/null", "trace=mkdir", "inject=mkdir:signal=KILL:when=1")
    done = subprocess.run([*inject, "mkdir", str(tmp_path / "x")], check=False)
    assert was_killed(done.returncode)
    assert not os.path.exists(tmp_path / "x")
