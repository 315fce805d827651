"""Several layers laid at once: what is shared, what fails, what is interrupted."""

import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from test_store import Store, exported

from lamina.errors import BadArchive, DigestMismatch
from lamina.layers import chains
from lamina.layers.check import check
from lamina.layers.kinds import Coming, ReadableStream
from lamina.testing.trees import tar_of
from lamina.values.digest import DiffID, chain_ids

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
PATIENCE = 60.0
TARS = [tar_of(text) for text in ("d d\nf d/1 one", "w d/1\nf d/2 two", "f e 3", "w e", "d f")]
CHAINS = chain_ids([DiffID.of(tar) for tar in TARS])


@pytest.fixture(params=["overlay2", "vfs", "erofs"])
def store(request: pytest.FixtureRequest, tmp_path: os.PathLike[str]) -> Iterator[Store]:
    made = Store(os.path.join(tmp_path, "root"), request.param)
    yield made
    made.close()


@contextmanager
def opened(tar: bytes, first: Callable[[], object] = lambda: None) -> Iterator[ReadableStream]:
    first()
    yield io.BytesIO(tar)


def coming(tars: Sequence[bytes], named: Sequence[bytes] = TARS) -> list[Coming]:
    return [
        Coming(DiffID.of(name), lambda tar=tar: opened(tar))
        for tar, name in zip(tars, named, strict=True)
    ]


def lay(store: Store, layers: Sequence[Coming]) -> list[int]:
    told: list[int] = []
    chains.register(store.layers, None, layers, told.append)
    return told


def test_all_come_and_are_told_of_in_order(store: Store) -> None:
    assert lay(store, coming(TARS)) == [0, 1, 2, 3, 4]
    assert [exported(store, chain) for chain in CHAINS] == TARS
    assert check(store.root, store.driver, full=True) == []


def test_what_is_here_is_not_opened(store: Store) -> None:
    lay(store, coming(TARS[:3], TARS[:3]))
    assert lay(store, coming([b"unread"] * 3 + TARS[3:])) == [0, 1, 2, 3, 4]
    assert lay(store, coming([b"unread"] * 5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", range(5))
def test_a_bad_layer_leaves_nothing_of_itself_or_above(store: Store, at: int) -> None:
    for bad, error in ((TARS[at][:700], BadArchive), (tar_of("f other 1"), DigestMismatch)):
        with pytest.raises(error):
            lay(store, coming([*TARS[:at], bad, *TARS[at + 1 :]]))
        assert all(store.layers.get(chain) is None for chain in CHAINS[at:])
        assert os.listdir(store.root.folder("staging")) == []
        assert check(store.root, store.driver, full=True) == []


def test_a_layer_that_another_made_meanwhile_is_shared(store: Store) -> None:
    """An import knows no diff ID before it ends, and waits for nobody who is to make the same."""
    made, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        other = Store(store.path, store.driver_name)
        base = other.layers.register(None, io.BytesIO(TARS[0]))
        other.layers.register(base.chain_id, io.BytesIO(TARS[1]))
        made.set()
        done.wait(PATIENCE)
        other.close()

    importing = threading.Thread(target=elsewhere)

    def imported() -> None:
        if importing.ident is None:
            importing.start()
            assert made.wait(PATIENCE)

    layers = coming(TARS)
    layers[0] = Coming(layers[0].diff_id, lambda: opened(TARS[0], imported))
    try:
        assert lay(store, layers) == [0, 1, 2, 3, 4]
    finally:
        done.set()
        importing.join()
    assert [exported(store, chain) for chain in CHAINS] == TARS
    assert len(list(store.driver.layers())) == len(TARS)
    assert check(store.root, store.driver, full=True) == []


def test_an_interrupt_leaves_nothing_behind(store: Store) -> None:
    if store.driver_name == "vfs":
        pytest.skip("lays one after the other")
    cancelled = threading.Event()

    class Stuck:
        def read(self, size: int, /) -> bytes:
            assert cancelled.wait(PATIENCE)
            return b""

        def cancel(self) -> None:
            cancelled.set()

    @contextmanager
    def stuck() -> Iterator[ReadableStream]:
        yield Stuck()

    def interrupted(_number: int) -> None:
        raise KeyboardInterrupt

    layers = coming(TARS)
    layers[1] = Coming(layers[1].diff_id, stuck)
    with pytest.raises(KeyboardInterrupt):
        chains.register(store.layers, None, layers, interrupted)
    assert [store.layers.get(chain) is not None for chain in CHAINS] == [True] + [False] * 4
    assert os.listdir(store.root.folder("staging")) == []
    assert check(store.root, store.driver, full=True) == []


def test_a_failure_ends_the_reading_of_what_nobody_can_cancel(store: Store) -> None:
    """One file without an end is one segment: to wait for its end is to wait for a full disk."""
    if store.driver_name == "vfs":
        pytest.skip("lays one after the other")
    begun = threading.Event()
    most = 512 << 20
    member = tarfile.TarInfo("big")
    member.size = 2 * most

    class Long:
        def __init__(self) -> None:
            self.given = 0

        def read(self, size: int, /) -> bytes:
            if self.given >= most:
                raise AssertionError("it was read on")
            data = member.tobuf() if not self.given else bytes(min(size, 1 << 20))
            self.given += len(data)
            if self.given > 8 << 20:
                begun.set()
            return data

    long = Long()

    @contextmanager
    def opened_long() -> Iterator[ReadableStream]:
        yield long

    @contextmanager
    def bad() -> Iterator[ReadableStream]:
        assert begun.wait(PATIENCE)
        raise BadArchive("it is no layer")
        yield

    layers = [Coming(DiffID.of(b"1"), opened_long), Coming(DiffID.of(b"2"), bad)]
    with pytest.raises(BadArchive, match="no layer"):
        chains.register(store.layers, None, layers, lambda _: None)
    assert long.given < most
    assert check(store.root, store.driver, full=True) == []


def test_where_no_more_threads_can_be_had_none_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The streams are their owner's again when this raises, and the layers are gone."""
    if store.driver_name == "vfs":
        pytest.skip("lays one after the other")
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if thread.name == "lamina-layer":
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    cancelled = threading.Event()

    class Stuck:
        def read(self, size: int, /) -> bytes:
            assert cancelled.wait(PATIENCE)
            return b""

        def cancel(self) -> None:
            cancelled.set()

    @contextmanager
    def stuck() -> Iterator[ReadableStream]:
        yield Stuck()

    monkeypatch.setattr(threading.Thread, "start", limited)
    layers = [Coming(DiffID.of(b"%d" % number), stuck) for number in range(2)]
    with pytest.raises(RuntimeError, match="new thread"):
        chains.register(store.layers, None, layers, lambda _: None)
    assert not [thread for thread in started if thread.is_alive()]
    cancelled.set()
    assert check(store.root, store.driver, full=True) == []


def test_layers_that_have_nothing_in_common_hardly_ever_wait_for_each_other(store: Store) -> None:
    """An image's locks are held together for as long as it comes."""
    many = chain_ids([DiffID.of(b"%d" % number) for number in range(1000)])
    assert len({store.layers.lock_for(chain).path for chain in many}) > 950
