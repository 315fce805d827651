"""Killed at every named point: the next command works, nothing incomplete stays, nothing is lost."""

import signal

import pytest

from tests.crash.conftest import FURTHER, MARKS, OPERATIONS, THOROUGH

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
# A driver beyond the first two adds no row and no blob: what it is asked to do is enough.
OF_DRIVERS = {
    "import": ["layer-staged", "layer-created", "layer-extracted", "layer-published"],
    "commit": ["layer-created"],
    "rmi": ["doomed", "erased"],
    "rm": ["container-removed", "erased"],
    "create": ["rw-staged", "rw-created"],
}
CASES = [(driver, name, POINTS) for driver in THOROUGH for name in OPERATIONS]
CASES += [
    pytest.param(driver, name, OF_DRIVERS[name], marks=MARKS.get(driver, ()))
    for driver in FURTHER
    for name in OF_DRIVERS
]


@pytest.mark.parametrize(("victim", "operation", "points"), CASES, indirect=["victim"])
def test_killed_at_every_named_point(victim, operation, points):
    words, _ = OPERATIONS[operation]
    before = victim.images()
    reached = 0
    for point in points:
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
