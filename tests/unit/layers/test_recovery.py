"""What power cuts, kills and other processes at the same moment may not do to a store."""

import io
import os
import subprocess
import sys

import pytest

from lamina.fs import mounting
from lamina.layers import recover
from lamina.layers.check import check
from lamina.metadata.blobs import BlobRow
from lamina.spec import mediatypes
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from lamina.values.digest import BlobDigest


@pytest.fixture
def store(tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"))
    yield made
    made.close()


@pytest.fixture
def other(store):
    """Another opener of the same store."""
    made = ScratchStore(store.path)
    yield made
    made.close()


def boot_again(store):
    """Let all that no barrier covered be of an earlier boot, and open the store anew."""
    with store.root.database.write() as db:
        for table in ("layers", "blobs"):
            db.execute(f"UPDATE {table} SET boot_id = 'earlier' WHERE boot_id IS NOT NULL")
    store.reopen()


def register(store, text, below=None):
    return store.layers.register(below, io.BytesIO(tar_of(text)))


def keep(store, chain):
    with store.root.database.write() as db:
        db.execute("INSERT INTO refs VALUES ('image', 'test', ?)", (chain,))


def test_a_barrier_covers_nothing_that_came_while_it_was_written(store, other, monkeypatch):
    """Its rows would say that it is on disk, and nobody wrote it there."""
    early = register(store, "f a early")
    keep(store, early.chain_id)
    sync = store.root.barrier

    def meanwhile():
        sync()
        late = register(other, "f a late")
        keep(other, late.chain_id)
        other.images.announce_blob(blob := blob_row(b"{}"))
        other.blobs.put_bytes(b"{}", owner=other.root.lease)
        with other.root.database.write() as db:
            db.execute("INSERT INTO refs VALUES ('image', 'test', ?)", (blob.digest,))

    monkeypatch.setattr(store.root, "barrier", meanwhile)
    store.layers.barrier()
    other.close()
    other.open()
    boot_again(store)
    assert [each.id for each in store.layers.all()] == [early.id]
    assert [name for name in store.files() if name.startswith("blobs")] == []


def blob_row(data):
    return BlobRow(BlobDigest.of(data), len(data), mediatypes.OCI_CONFIG, None)


def test_barriers_at_once_never_count_backwards(store, other, monkeypatch):
    """Else the database would look older than the objects beside it."""
    write = store.root.database.write

    def overtaken(**options):
        other.layers.barrier()
        other.layers.barrier()
        return write(**options)

    monkeypatch.setattr(store.root.database, "write", overtaken)
    store.layers.barrier()
    monkeypatch.undo()
    assert store.root.database.meta()["generation"] == "3"
    store.reopen()


def test_an_image_whose_config_a_power_cut_may_have_taken_goes(store):
    """Its layers are on disk, and its name would lead to a config of zeros."""
    kept = store.make("f a 1", names=["kept:1"])
    store.layers.barrier()
    store.make("f a 1", names=["lost:1"], config={"Labels": {"a": "b"}})
    boot_again(store)
    assert [each.row.id for each in store.images.all()] == [kept]
    assert store.images.config(kept).id == kept
    assert check(store.root, store.layers.driver, full=True) == []


def test_a_lost_manifest_takes_no_image_with_it(store):
    image = store.make("f a 1", names=["kept:1"])
    store.layers.barrier()
    config = store.images.config(image)
    store.images.create(config, manifest=(b"{}", mediatypes.OCI_MANIFEST))
    boot_again(store)
    assert [(each.row.id, each.row.manifest) for each in store.images.all()] == [(image, None)]


def test_two_openers_after_a_power_cut(store, monkeypatch):
    """Both see what is lost; one is done before the other begins."""
    lost = register(store, "f a 1")
    keep(store, lost.chain_id)
    with store.root.database.write() as db:
        db.execute("UPDATE layers SET boot_id = 'earlier'")
    undo = recover._undo

    def after_another(*arguments):
        monkeypatch.setattr(recover, "_undo", undo)
        ScratchStore(store.path).close()
        undo(*arguments)

    monkeypatch.setattr(recover, "_undo", after_another)
    store.reopen()
    assert store.layers.all() == ()


def test_what_cannot_be_removed_keeps_nobody_out(store, needs_mounts):
    """Something is mounted in a dead process's layer: the store opens, and `check` tells."""
    script = (
        "import os, sys\nfrom lamina.testing.stores import ScratchStore\n"
        "store = ScratchStore(sys.argv[1])\n"
        "print(store.layers.create_rw(None), flush=True)\nos._exit(0)\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", script, store.path], stdout=subprocess.PIPE, text=True, check=True
    )
    layer = made.stdout.strip()
    folder = store.layers.driver.location(layer)

    def with_a_mount():
        os.mkdir(f"{folder}/busy")
        mounting.attach(mounting.MountPlan(mounting.Bind("/proc", False)), f"{folder}/busy")
        opened = ScratchStore(store.path)
        found = check(opened.root, opened.layers.driver)
        opened.close()
        return found

    found = mounting.in_private_namespace(with_a_mount)
    assert [(each.kind, each.subject) for each in found] == [("unfinished", f"layer {layer[:12]}")]
    store.reopen()
    assert store.files() == []
    assert check(store.root, store.layers.driver) == []


def test_a_forked_child_gives_up_nothing_of_its_parents(store):
    """Its lease is what keeps another opener from sweeping what is being made."""
    layer = store.layers.create_rw(None)
    child = os.fork()
    if not child:
        try:
            store.layers.close()
        finally:
            store.root.close()
            os._exit(0)
    os.waitpid(child, 0)
    ScratchStore(store.path).close()
    assert list(store.layers.driver.layers()) == [layer]
    store.layers.remove_rw(layer)


def test_what_a_live_process_stages_is_not_swept(store, other, monkeypatch):
    """Its lease may be younger than the list of leases, but not than what it stages."""
    staged = store.root.folder("staging", f"{other.root.lease}.blob.x")
    listed = os.listdir

    def listdir(path="."):
        found = listed(path)
        if path == store.root.folder("locks", "leases"):
            return [name for name in found if name != other.root.lease]
        return found

    open(staged, "w").close()
    open(store.root.folder("staging", "ab" * 16 + ".blob.y"), "w").close()
    monkeypatch.setattr(os, "listdir", listdir)
    store.root.sweep_leases()
    assert listed(store.root.folder("staging")) == [os.path.basename(staged)]


def test_a_base_that_two_removals_let_go_of_at_once_is_collected(store, other, monkeypatch):
    """The second removal must leave it, because the first one's layer stands on it still."""
    base = register(store, "f a 1")
    tops = [register(store, f"f b {number}", base.chain_id) for number in range(2)]
    for number, top in enumerate(tops):
        with store.root.database.write() as db:
            db.execute("INSERT INTO refs VALUES ('image', ?, ?)", (str(number), top.chain_id))
    store.layers.release()

    def remove(opener, number):
        with opener.root.database.write() as db:
            db.execute("DELETE FROM refs WHERE owner = ?", (str(number),))
        return {each.id for each in opener.layers.reclaim()}

    driver = store.layers.driver
    erase = driver.remove

    def interrupted(layer, trash):
        monkeypatch.setattr(driver, "remove", erase)
        assert remove(other, 1) == {tops[1].id}
        erase(layer, trash)

    monkeypatch.setattr(driver, "remove", interrupted)
    assert remove(store, 0) == {tops[0].id, base.id}
    assert store.files() == []


def test_check_takes_nothing_for_wrong_that_others_make_or_remove(store, other, monkeypatch):
    """A layer comes just before the disk is looked at, and another one goes just after."""
    going = register(other, "f a 1")
    driver = store.layers.driver
    listed = driver.layers

    def layers():
        monkeypatch.setattr(driver, "layers", listed)
        keep(other, register(other, "f a 2").chain_id)
        found = list(listed())
        other.layers.release()
        assert [each.id for each in other.layers.reclaim()] == [going.id]
        return iter(found)

    monkeypatch.setattr(driver, "layers", layers)
    assert check(store.root, driver) == []


def test_check_tells_of_blobs_that_are_gone_or_changed(store):
    first, second = store.make("f a 1"), store.make("f a 2")
    os.unlink(store.blobs.path(first))
    with open(store.blobs.path(second), "ab") as file:
        file.write(b" ")
    found = check(store.root, store.layers.driver, full=True)
    assert [(each.kind, each.subject) for each in found] == [
        ("missing", f"blob {first.short}"),
        ("damaged", f"blob {second.short}"),
    ]


def test_a_store_is_nobody_elses(tmp_path, needs_root):
    path = tmp_path / "root"
    path.mkdir(mode=0o755)
    made = ScratchStore(str(path))
    made.make("f a 1")
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "lamina.db").stat().st_mode & 0o777 == 0o600
    assert (path / "store").stat().st_mode & 0o777 == 0o600
    made.close()


def test_nothing_of_a_barrier_is_left_behind(store):
    store.make("f a 1")
    before = set(os.listdir(store.path))
    store.make("f a 2")
    store.layers.barrier()
    assert set(os.listdir(store.path)) == before
    assert os.listdir(store.root.folder("staging")) == []
