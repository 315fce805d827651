"""Killed at every named point: the next command works, nothing incomplete stays, nothing is lost."""

import pytest

from tests.crash.crash_victim import OPERATIONS, assert_between, was_killed

pytestmark = pytest.mark.matrix

_LAYER = "layer-staged layer-created layer-extracted diff-noted index-placed layer-published"
_IMAGE = "blob-announced image-blobs image-created synced durable"
POINTS = {
    "import": f"{_LAYER} {_IMAGE}",
    "import-known": f"{_LAYER} erased {_IMAGE}",
    "load": f"{_LAYER} {_IMAGE}",
    "build": f"{_LAYER} {_IMAGE}",
    "build-run": "rw-staged rw-created erased",
    "commit": f"{_LAYER} {_IMAGE}",
    "rmi": "image-removed doomed erased",
    "rm": "container-removed erased",
    "fork": "rw-staged rw-created layer-forked container-recorded",
    "reset": "rw-staged rw-created layer-reset erased",
    "create": "rw-staged rw-created container-recorded",
    "run-rm": "rw-created container-recorded container-removed",
}

# A driver beyond the first adds no row and no blob: what it is asked to do is enough.
_OF_DRIVERS = {
    "import": "layer-staged layer-created layer-extracted layer-published",
    "commit": "layer-created",
    "rmi": "doomed erased",
    "rm": "container-removed erased",
    "fork": "rw-created layer-forked",
    "reset": "rw-created layer-reset",
    "create": "rw-staged rw-created",
}
_DEVICES = "device-noted device-made device-counted"
_CASES: list[object] = [("overlay2", name, points) for name, points in POINTS.items()]
_CASES += [
    (storage, name, points)
    for storage in ("vfs", "erofs", "fuse-overlayfs", "btrfs", "zfs", "devicemapper")
    for name, points in _OF_DRIVERS.items()
]
_CASES += [
    ("devicemapper", "import", _DEVICES),
    ("devicemapper", "rm", "device-deleted"),
]


@pytest.mark.parametrize(("storage", "name", "points"), _CASES)
def test_killed_at_every_named_point(victim_of, storage, name, points):
    operation = OPERATIONS[name]
    victim = victim_of(storage, name)
    before = victim.state()
    victim.ok(*operation.words)
    after = victim.state()
    for point in points.split():
        victim.restore_state()
        done = victim.run(*operation.words, crash=point)
        assert was_killed(done.returncode), (point, done)
        victim.assert_sound()
        assert_between(victim.state(), before, after, operation)


@pytest.mark.parametrize("point", ["layer-extracted", "diff-noted"])
@pytest.mark.parametrize("storage", ["overlay2", "erofs", "btrfs", "devicemapper"])
def test_recovery_itself_may_be_killed(victim_of, storage, point):
    operation = OPERATIONS["import"]
    victim = victim_of(storage, "import")
    before = victim.state()
    for crash in (point, "recovering", "erased"):
        assert was_killed(victim.run(*operation.words, crash=crash).returncode)
    victim.assert_sound()
    assert_between(victim.state(), before, before, operation)
