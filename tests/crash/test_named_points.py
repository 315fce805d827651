"""Killed at every named point: the next command works, nothing incomplete stays, nothing is lost."""

import signal

import pytest

from conftest import OPERATIONS

POINTS = [
    "layer-staged",
    "layer-created",
    "layer-extracted",
    "diff-noted",
    "index-placed",
    "layer-published",
    "blob-announced",
    "image-blobs",
    "image-created",
    "synced",
    "durable",
    "rw-staged",
    "rw-created",
    "container-recorded",
    "container-removed",
    "doomed",
    "erased",
    "image-removed",
    "recovering",
]
REACHED: dict[str, set[str]] = {}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_named_point(victim, operation):
    words, _ = OPERATIONS[operation]
    before = victim.images()
    reached = 0
    for point in POINTS:
        done = victim.run(*words, crash=point)
        if done.returncode == 0:
            victim.restore_state()
            continue
        assert done.returncode == -signal.SIGKILL, done.stderr
        reached += 1
        victim.assert_sound()
        assert set(before) - set(victim.images()) <= {"second"}
        again = victim.run(*words)
        if again.returncode:  # what was removed already cannot be removed again
            assert operation in ("rmi", "rm", "create"), again.stderr
        victim.assert_sound()
        victim.restore_state()
    assert reached, "no point of this operation was reached"


def test_recovery_itself_may_be_killed(victim):
    for point in ("layer-extracted", "diff-noted"):
        victim.run("import", "second.tar", "third", crash=point)
        assert victim.run("images", crash="recovering").returncode == -signal.SIGKILL
        assert victim.run("images", crash="erased").returncode == -signal.SIGKILL
        victim.assert_sound()
        victim.restore_state()
