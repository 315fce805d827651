"""Killed at every system call that changes something, by strace; slow, so `make crash` runs it.

Point N is the state after N-1 calls of that name. Each kill must really have happened.
"""

import re
import shutil
import signal
import subprocess

import pytest

from tests.crash.conftest import OPERATIONS

CALLS = [
    "openat",
    "openat2",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "fchmod",
    "fchown",
    "utimensat",
    "setxattr",
    "fsetxattr",
    "ftruncate",
    "copy_file_range",
    "fchmodat",
    "fchownat",
    "flock",
    "ioctl",
]
MUTATING = [call for call in CALLS if call not in ("openat", "openat2", "flock")]


def counts(victim, words):
    """How often an undisturbed run makes each call."""
    log = f"{victim.folder}/count.txt"
    done = victim.run(
        *words, prefix=("strace", "-f", "-qq", "-c", "-o", log, "-e", "trace=" + ",".join(MUTATING))
    )
    assert done.returncode == 0, done.stderr
    found = {}
    with open(log) as file:
        for line in file:
            match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if match and match[2] in MUTATING:
                found[match[2]] = int(match[1])
    return found


@pytest.mark.exhaustive
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_mutating_call(victim, operation):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    words, _ = OPERATIONS[operation]
    before = set(victim.images())
    total = counts(victim, words)
    victim.restore_state()
    kills = 0
    for call, times in sorted(total.items()):
        for number in range(1, times + 1):
            done = victim.run(
                *words,
                prefix=(
                    "strace",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    f"trace={call}",
                    "-e",
                    f"inject={call}:signal=SIGKILL:when={number}",
                ),
            )
            if done.returncode == 0:
                victim.restore_state()
                continue  # counted over all threads, injected in each
            assert done.returncode in (-signal.SIGKILL, 137), (
                call,
                number,
                done.returncode,
                done.stderr,
            )
            kills += 1
            victim.assert_sound()
            assert before - set(victim.images()) <= {"second"}, (call, number)
            victim.restore_state()
    assert kills > 10
    print(f"{victim.driver} {operation}: {kills} kills")


def test_strace_really_kills(victim, tmp_path):
    """The harness: an injected kill ends the process by SIGKILL."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    done = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=mkdir",
            "-e",
            "inject=mkdir:signal=SIGKILL:when=1",
            "mkdir",
            str(tmp_path / "x"),
        ],
        check=False,
    )
    assert done.returncode in (-signal.SIGKILL, 137)
