"""In use is what somebody holds the lock of: a layer that is mounted or read is not removed."""

import fcntl
import io
import os
import subprocess
import sys

import pytest

from lamina.drivers.vfs import VfsDriver
from lamina.errors import InUse, LayerNotFound, LockHeld
from lamina.fs.mounting import detached, take_holds
from lamina.layers import active, gc
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.testing.trees import tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


class HoldingDriver(VfsDriver):
    """Whose mounts stay only while a lock file of its own is held, as those of a helper would."""

    def mounts(self, layer, *, writable):
        return super().mounts(layer, writable=writable)._replace(holds=(f"{self.home}/helper",))


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.setattr(active, "_PATIENCE", 0.01)
    root = StoreRoot.open(str(tmp_path / "root"))
    made = LayerStore(root, lambda: HoldingDriver(root.folder("vfs")))
    yield made
    made.close()
    root.close()


@pytest.fixture
def layer(layers):
    base = layers.register(None, io.BytesIO(tar_of("d d\nf d/a text")))
    return layers.create_rw(base.chain_id)


def is_free(path):
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_mount_holds_its_drivers_locks_and_its_layers(layers, layer):
    plan = layers.mounts(layer, writable=True)
    assert len(plan.holds) == 2
    with detached(plan) as descriptor:
        assert os.listdir(descriptor) == ["d"]
        assert not any(map(is_free, plan.holds))
    assert all(map(is_free, plan.holds))


def test_what_is_mounted_is_not_removed(layers, layer):
    with detached(layers.mounts(layer, writable=True)):
        with pytest.raises(InUse, match="in use"):
            layers.remove_rw(layer)
        assert "d" in os.listdir(layers.driver.writable_root(layer))
    layers.remove_rw(layer)
    assert os.listdir(layers.root.folder("locks", "layers")) == []


def test_what_is_read_is_not_removed(layers, layer):
    changes = layers.changes(layer)
    with open(f"{layers.driver.writable_root(layer)}/new", "w") as file:
        file.write("x")
    assert next(changes).path == b"new"
    with pytest.raises(InUse):
        layers.remove_rw(layer)
    changes.close()
    layers.remove_rw(layer)


def test_what_is_removed_is_not_read(layers, layer):
    with layers.unused(layer), pytest.raises(LockHeld), layers.using(layer):
        pass
    layers.remove_rw(layer)
    with pytest.raises(LayerNotFound), layers.using(layer):
        pass
    assert os.listdir(layers.root.folder("locks", "layers")) == []


def test_what_is_mounted_is_not_collected_nor_what_it_stands_on(layers, tmp_path):
    below = layers.register(None, io.BytesIO(tar_of("f a 1")))
    above = layers.register(below.chain_id, io.BytesIO(tar_of("f b 2")))
    with detached(layers.mounts(above.id, writable=False)) as descriptor:
        layers.release()  # which collects
        assert sorted(os.listdir(descriptor)) == ["a", "b"]
    assert {each.id for each in layers.reclaim()} == {below.id, above.id}


def test_a_driver_that_takes_its_mount_away_is_waited_for(layers, layer):
    plan = layers.mounts(layer, writable=True)
    with open(plan.holds[0], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        script = f"""
from lamina.fs.mounting import Bind, MountPlan, take_holds
print("asking", flush=True)
take_holds(MountPlan(Bind("/", True), {plan.holds!r}))
print("held", flush=True)
input()
"""
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "asking\n"
        os.unlink(plan.holds[0])  # as its last user would: who waited takes the new file
    assert process.stdout.readline() == "held\n"
    assert not is_free(plan.holds[0])
    process.communicate("\n")
    assert process.returncode == 0


def test_what_a_killed_engines_processes_still_use_is_left_to_a_later_opener(layers, layer):
    root = layers.root
    held = take_holds(layers.mounts(layer, writable=True))
    layers.close()
    root.close()  # the maker's lease is dead from here on
    for left in (True, False):
        again = StoreRoot.open(root.path)
        LayerStore(again, lambda: layers.driver).close()
        again.close()
        assert os.path.exists(layers.driver.location(layer)) is left
        for descriptor in held:
            os.close(descriptor)
        held = []
    assert not gc.is_used(root, layer)
