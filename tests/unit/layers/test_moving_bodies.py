"""The second bodies of a store's layers: which of them count, whatever goes wrong."""

import io
import os
import stat
import struct
from contextlib import ExitStack

import pytest

from lamina.drivers.api import SharesMounts
from lamina.drivers.catalog import entry
from lamina.drivers.overlay2 import OverlayDriver
from lamina.drivers.vfs import VfsDriver
from lamina.errors import InUse, StorageError
from lamina.fs.mounting import detached
from lamina.layers.moving import Bodies
from lamina.layers.store import LayerStore
from lamina.metadata import copies, layers
from lamina.metadata.copies import Migration
from lamina.metadata.root import StoreRoot
from lamina.testing.trees import tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

MIGRATION = Migration("overlay2", "vfs", (), (), "copying")


def driver_in(root, name):
    return entry(name).make(root.folder(name), f"{root.path}.run")


@pytest.fixture
def store(tmp_path, request):
    """A store with a layer and a read-write layer, from which a move has begun."""
    root = StoreRoot.open(str(tmp_path / "root"))
    made = LayerStore(root, lambda: driver_in(root, getattr(request, "param", "overlay2")))
    base = made.register(None, io.BytesIO(tar_of("d d\nf d/a text")))
    layer = made.create_rw(base.chain_id)
    with root.database.write() as db:
        layers.publish(db, layer, diff_id=None, chain_id=None, size=0, entries=0)
        copies.note(db, MIGRATION)
    yield made
    made.close()
    root.close()


def bodies_on(store, driver):
    """The copies on another driver, all of them made."""
    bodies = Bodies(store, driver)
    for row in bodies.missing():
        bodies.copy(row)
    for row in bodies.writable():
        bodies.copy_if_still(row)
    return bodies


class Failing(VfsDriver):
    """Whose disk fails once a layer is gone, when `fails` is set."""

    fails = False

    def remove(self, layer, trash):
        super().remove(layer, trash)
        if self.fails:
            raise StorageError("the disk failed")


def test_a_copy_that_is_being_made_anew_counts_no_more(store):
    driver = Failing(store.root.folder("vfs"))
    bodies = bodies_on(store, driver)
    (row,) = bodies.writable()
    assert bodies.is_current(row)
    driver.fails = True
    with pytest.raises(StorageError, match="disk failed"):
        bodies.renew(row)
    assert not bodies.is_current(row)
    driver.fails = False
    bodies.switch(MIGRATION, {})
    assert row.id in set(driver.layers())


class Losing(VfsDriver):
    """Whose copies turn out to be of no use at the last moment."""

    def location(self, layer):
        with self.root.database.write() as db:
            copies.doom(db, [layer])
        return super().location(layer)


def test_no_layer_is_switched_to_a_driver_that_has_no_copy_of_it(store):
    driver = Losing(store.root.folder("vfs"))
    driver.root = store.root
    bodies = bodies_on(store, driver)
    with pytest.raises(StorageError, match="has no copy; migrate again"):
        bodies.switch(MIGRATION, {})
    assert copies.current(store.root.database.meta()) == MIGRATION
    assert len(store.all()) == 1


class Racing(OverlayDriver):
    """Whose layer something else happens to, once, while it is looked at."""

    def __init__(self, home):
        super().__init__(home)
        self.meanwhile = []

    def changes(self, layer, parent):
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().changes(layer, parent)


def racing(store):
    """The store on a driver like that, everything copied but the read-write layer."""
    store.use(Racing(store.root.folder("overlay2")))
    bodies = Bodies(store, VfsDriver(store.root.folder("vfs")))
    for row in bodies.missing():
        bodies.copy(row)
    (row,) = bodies.writable()
    return bodies, row


def test_a_layer_that_is_mounted_while_its_state_is_noted_is_left_for_the_switch(store):
    bodies, row = racing(store)
    held = ExitStack()
    store.driver.meanwhile = [
        lambda: held.enter_context(detached(store.mounts(row.id, writable=True)))
    ]
    with held:
        bodies.copy_if_still(row)
        assert not bodies.is_current(row)
        with pytest.raises(InUse):
            bodies.switch(MIGRATION, {})
    bodies.switch(MIGRATION, {})


def test_a_layer_that_goes_while_it_is_looked_at_is_not_copied(store):
    bodies, row = racing(store)
    store.driver.meanwhile = [lambda: store.remove_rw(row.id)]
    bodies.copy_if_still(row)
    bodies.switch(MIGRATION, {})
    assert len(list(bodies.other.layers())) == 1


ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, number)
    for tag, permissions, number in (
        (0x01, 7, 0xFFFFFFFF),
        (0x02, 5, 1234),
        (0x04, 5, 0xFFFFFFFF),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 1, 0xFFFFFFFF),
    )
)
ATTRIBUTES = {
    "user.note": b"text",
    "system.posix_acl_access": ACL,
    "system.posix_acl_default": ACL,
}


def change_root(path):
    os.chown(path, 3, 4)
    os.chmod(path, 0o1771)
    for name, value in ATTRIBUTES.items():
        os.setxattr(path, name, value)


def told_root(path):
    status = os.stat(path)
    values = {name: os.getxattr(path, name) for name in ATTRIBUTES if name in os.listxattr(path)}
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, values


@pytest.mark.usefixtures("needs_erofs")
@pytest.mark.parametrize(
    ("store", "target"),
    [("overlay2", "vfs"), ("vfs", "overlay2"), ("overlay2", "erofs")],
    indirect=["store"],
)
@pytest.mark.parametrize("name", ["", "file"])
def test_what_a_container_did_to_its_root_itself_goes_with_it(store, target, name, request):
    driver = driver_in(store.root, target)
    if isinstance(driver, SharesMounts):
        request.addfinalizer(driver.close)
    bodies = bodies_on(store, driver)
    (row,) = bodies.writable()
    path = store.driver.writable_root(row.id)
    change_root(path)
    if name:
        os.mkdir(f"{path}/{name}")
    assert not bodies.is_current(row)
    bodies.copy_if_still(row)
    assert bodies.is_current(row)
    assert told_root(bodies.other.writable_root(row.id)) == told_root(path)
    assert told_root(path) == (0o1771, 3, 4, ATTRIBUTES)
