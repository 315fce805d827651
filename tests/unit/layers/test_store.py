"""The layer store on real drivers: in, shared, out again, reclaimed."""

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lamina.drivers.api import Driver
from lamina.drivers.catalog import entry
from lamina.errors import BadArchive, DigestMismatch, ForeignStore, StoreDamaged
from lamina.fs.locks import FileLock
from lamina.fs.mounting import attach, in_private_namespace
from lamina.layers.check import check, set_aside
from lamina.layers.store import LayerStore
from lamina.metadata import refs
from lamina.metadata.db import set_meta
from lamina.metadata.root import StoreRoot
from lamina.testing.trees import describe, tar_of
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


class Store:
    """A store that can be closed and opened again in place."""

    def __init__(self, path: str, driver: str) -> None:
        self.path = path
        self.driver_name = driver
        self.open()

    def open(self) -> None:
        self.root = StoreRoot.open(self.path)
        made = entry(self.driver_name)
        self.driver: Driver = made.make(self.root.folder(made.home), f"{self.path}.run")
        self.layers = LayerStore(self.root, lambda: self.driver)

    def close(self) -> None:
        self.layers.close()
        self.root.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def keep(self, chain: ChainID) -> None:
        """Refer to a chain as an image would."""
        with self.root.database.write() as db:
            refs.add(db, refs.IMAGE, "test", chain)

    def files(self) -> list[str]:
        """Everything beneath the root that grows with layers."""
        found = []
        for folder in ("index", "staging", "trash", made_home(self)):
            for base, folders, names in os.walk(os.path.join(self.path, folder)):
                found += [os.path.join(base, name) for name in (*folders, *names)]
        return [
            name
            for name in found
            if not name.endswith(("/l", "/dir", "/stamps")) and "backingFsBlockDev" not in name
        ]


def made_home(store: Store) -> str:
    return entry(store.driver_name).home


@pytest.fixture(params=["overlay2", "vfs", "erofs"])
def store(request: pytest.FixtureRequest, tmp_path: os.PathLike[str]) -> Iterator[Store]:
    made = Store(os.path.join(tmp_path, "root"), request.param)
    yield made
    made.close()


BASE = tar_of("d d\nf d/File1 one\nf d/File2 two\nf d/File3 three")
NEXT = tar_of("f d/File1 new\nw d/File2\nf d/File4 4")


def exported(store: Store, chain: ChainID) -> bytes:
    out = io.BytesIO()
    store.layers.export(chain, out.write)
    return out.getvalue()


def test_a_tar_leaves_as_it_came(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    top = store.layers.register(base.chain_id, io.BytesIO(NEXT))
    assert base.diff_id == DiffID.of(BASE)
    assert top.chain_id == ChainID.extend(base.chain_id, DiffID.of(NEXT))
    assert exported(store, base.chain_id) == BASE
    assert exported(store, top.chain_id) == NEXT


def test_the_same_layer_is_kept_once(store: Store) -> None:
    first = store.layers.register(None, io.BytesIO(BASE))
    again = store.layers.register(None, io.BytesIO(BASE))
    expected = store.layers.register(None, io.BytesIO(b"unread"), expect=first.diff_id)
    assert first.id == again.id == expected.id
    assert len(list(store.driver.layers())) == 1


def test_layers_stay_after_closing_when_referred_to(store: Store) -> None:
    top = store.layers.register(None, io.BytesIO(BASE))
    store.keep(top.chain_id)
    store.layers.barrier()
    store.reopen()
    assert store.layers.get(top.chain_id) == top
    assert store.layers.reclaim() == []


def test_what_nothing_refers_to_is_collected_whole(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    store.layers.register(base.chain_id, io.BytesIO(NEXT))
    assert store.layers.reclaim() == []  # this opener still holds them
    store.reopen()  # closing collected them
    assert store.files() == []


def test_nobody_waits_for_a_driver_that_is_being_made(store: Store) -> None:
    """That may ask a program, or load a kernel module."""
    held = []

    def make() -> Driver:
        held.append(FileLock.is_held(store.root.folder("locks", "database")))
        return store.driver

    layers = LayerStore(store.root, make)
    layers.remove_rw(layers.create_rw(None))
    assert held == [False]


def test_a_damaged_tar_leaves_nothing(store: Store) -> None:
    for bad in (BASE[:700], b"garbage" * 200, tar_of("h x -> missing")):
        with pytest.raises(BadArchive):
            store.layers.register(None, io.BytesIO(bad))
    with pytest.raises(DigestMismatch):
        store.layers.register(None, io.BytesIO(NEXT), expect=DiffID.of(b"other"))
    assert store.files() == []


def test_members_that_are_destroyed_later_still_leave_with_the_tar(store: Store) -> None:
    text = "f a first\nf a second\nf d/x lost\nl d -> a\nf b gone\nw b\nf c 1\nh e -> c\nf c 2"
    tar = tar_of(text)
    layer = store.layers.register(None, io.BytesIO(tar))
    assert exported(store, layer.chain_id) == tar


def test_a_container_layer_becomes_a_layer_equal_on_every_driver(
    tmp_path: os.PathLike[str],
) -> None:
    diff_ids = set()
    for name in ("overlay2", "vfs", "erofs"):
        store = Store(os.path.join(tmp_path, name), name)
        base = store.layers.register(None, io.BytesIO(BASE))
        layer = store.layers.create_rw(base.chain_id)
        change(store, layer)
        made = store.layers.snapshot_rw(layer, clamp=1_500_000_000)
        assert made is not None
        diff_ids.add(made.diff_id)
        assert store.layers.snapshot_rw(layer, clamp=1_500_000_000) == made
        store.layers.remove_rw(layer)
        store.close()
    assert len(diff_ids) == 1


def change(store: Store, layer: LayerID) -> None:
    target = os.path.join(store.path, "mounted")
    os.makedirs(target, exist_ok=True)

    def work() -> None:
        attach(store.layers.mounts(layer, writable=True), target)
        with open(f"{target}/d/File1", "w", encoding="ascii") as file:
            file.write("changed")
        os.unlink(f"{target}/d/File2")
        os.mkdir(f"{target}/new", 0o750)
        os.symlink("../d", f"{target}/new/link")
        os.rename(f"{target}/d/File3", f"{target}/new/File3")

    in_private_namespace(work)


def test_an_unchanged_container_gives_no_layer(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    layer = store.layers.create_rw(base.chain_id)
    assert store.layers.snapshot_rw(layer) is None
    assert list(store.layers.changes(layer)) == []


def test_a_staged_layer_of_a_dead_process_is_undone_at_the_next_opening(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    store.keep(base.chain_id)
    store.layers.create_rw(base.chain_id)
    store.reopen()
    assert list(store.driver.layers()) == [base.id]


def test_layers_of_another_boot_that_no_barrier_covered_are_dropped(store: Store) -> None:
    kept = store.layers.register(None, io.BytesIO(BASE))
    store.keep(kept.chain_id)
    store.layers.barrier()
    lost = store.layers.register(kept.chain_id, io.BytesIO(NEXT))
    store.keep(lost.chain_id)
    with store.root.database.write() as db:
        db.execute("UPDATE layers SET boot_id = 'earlier' WHERE boot_id IS NOT NULL")
    store.reopen()
    assert store.layers.get(lost.chain_id) is None
    assert store.layers.get(kept.chain_id) == kept


def test_check_finds_strays_and_sets_them_aside_but_opening_leaves_them(store: Store) -> None:
    layer = store.layers.register(None, io.BytesIO(BASE))
    store.keep(layer.chain_id)
    stray = LayerID("ab" * 32)
    store.driver.create(stray, None)
    store.reopen()
    findings = check(store.root, store.driver, full=True)
    assert [(found.kind, found.subject) for found in findings] == [("stray", "layer abababababab")]
    assert os.path.isdir(set_aside(store.root, store.layers.driver, findings[0]))
    assert check(store.root, store.driver, full=True) == []


def _replace_in(path: str, old: bytes, new: bytes) -> None:
    with open(path, "r+b") as file:
        data = file.read()
        assert data.count(old) == 1
        file.seek(data.index(old))
        file.write(new)


def test_check_notices_a_changed_file(store: Store) -> None:
    layer = store.layers.register(None, io.BytesIO(BASE))
    data = dict(store.driver.data(layer.id))
    if "Tar" in data:
        _replace_in(data["Tar"], b"one", b"two")
    else:
        name = data.get("UpperDir") or store.driver.location(layer.id)
        _replace_in(os.path.join(name, "d/File1"), b"one", b"two")
    assert [found.kind for found in check(store.root, store.driver, full=True)] == ["damaged"]
    with pytest.raises(StoreDamaged, match=r"File1|no longer those"):
        exported(store, layer.chain_id)


def test_a_root_without_its_database_is_an_error(store: Store) -> None:
    store.layers.register(None, io.BytesIO(BASE))
    store.root.barrier()
    os.rename(f"{store.path}/lamina.db", f"{store.path}/../aside.db")
    with pytest.raises(StoreDamaged, match="missing"):
        StoreRoot.open(store.path)
    os.rename(f"{store.path}/../aside.db", f"{store.path}/lamina.db")


def test_a_root_with_another_stores_database_is_an_error(tmp_path: os.PathLike[str]) -> None:
    first, second = os.path.join(tmp_path, "1"), os.path.join(tmp_path, "2")
    for path in (first, second):
        StoreRoot.open(path).close()
    os.rename(f"{second}/lamina.db", f"{first}/lamina.db")
    with pytest.raises(ForeignStore, match="another store"):
        StoreRoot.open(first)


def test_a_database_older_than_its_objects_is_an_error(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "root")
    store = Store(path, "vfs")
    store.close()
    with open(f"{path}/lamina.db", "rb") as file:
        old = file.read()
    store.open()
    store.layers.barrier()
    store.close()
    with open(f"{path}/lamina.db", "wb") as file:
        file.write(old)
    with pytest.raises(StoreDamaged, match="older"):
        StoreRoot.open(path)


def test_a_strangers_directory_is_refused(tmp_path: os.PathLike[str]) -> None:
    os.mkdir(os.path.join(tmp_path, "image"))
    with pytest.raises(ForeignStore, match="image"):
        StoreRoot.open(str(tmp_path))


def test_all_who_come_to_a_fresh_root_at_once_have_it_open_together(
    tmp_path: os.PathLike[str],
) -> None:
    together = threading.Barrier(4)

    def opened(path: str) -> str:
        together.wait(timeout=20)
        root = StoreRoot.open(path)
        try:
            together.wait(timeout=20)  # nobody lets go before everybody has it
            return root.uuid
        finally:
            root.close()

    with ThreadPoolExecutor(together.parties) as pool:
        for number in range(8):
            paths = [os.path.join(tmp_path, str(number))] * together.parties
            assert len(set(pool.map(opened, paths))) == 1


def test_the_mounted_tree_is_what_the_tars_say(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    top = store.layers.register(base.chain_id, io.BytesIO(NEXT))
    layer = store.layers.create_rw(top.chain_id)
    target = os.path.join(store.path, "mounted")
    os.makedirs(target)

    def look() -> list[str]:
        attach(store.layers.mounts(layer, writable=True), target)
        return describe(target)

    assert in_private_namespace(look) == [
        "d d 755 0:0",
        "f d/File1 new 644 0:0",
        "f d/File3 three 644 0:0",
        "f d/File4 4 644 0:0",
    ]


def test_a_file_that_would_delete_another_is_no_change_of_a_layer(store: Store) -> None:
    base = store.layers.register(None, io.BytesIO(BASE))
    layer = store.layers.create_rw(base.chain_id)
    root = store.driver.writable_root(layer)
    with open(os.path.join(root, ".wh.d"), "w", encoding="utf-8"):
        pass
    with pytest.raises(BadArchive, match="mean deletions"):
        store.layers.snapshot_rw(layer)
    store.layers.remove_rw(layer)


def test_threads_take_turns_at_the_database(store):
    """Builds work on several stages at once over one opener's connection."""
    database = store.root.database

    def write(_number):
        for turn in range(100):
            with database.write() as db:
                set_meta(db, "one", str(turn))
                set_meta(db, "other", str(turn))

    def read(_number):
        for _ in range(100):
            meta = database.meta()
            assert meta.get("one") == meta.get("other")

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(act, number) for number in range(2) for act in (write, read)]
        for each in done:
            each.result()
