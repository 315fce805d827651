import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lamina.errors import LockHeld
from lamina.fs.locks import FileLock, Rank, together


@contextmanager
def another_process(path: str, *, shared: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock until its standard input ends."""
    script = f"""
import sys
from lamina.fs.locks import FileLock, Rank
FileLock({path!r}, Rank.LAYER).acquire(shared={shared})
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def test_one_holder_at_a_time(path):
    lock = FileLock(path, Rank.LAYER)
    with another_process(path):
        with pytest.raises(LockHeld) as caught:
            lock.acquire(timeout=0)
        assert str(caught.value) == f"another process holds {path}; wait for it or end it"
        with pytest.raises(LockHeld):
            lock.acquire(shared=True, timeout=0)
    with lock.exclusive(timeout=0):
        assert FileLock.is_held(path)
    assert not FileLock.is_held(path)


def test_many_share_it(path):
    with another_process(path, shared=True), another_process(path, shared=True):
        with FileLock(path, Rank.LAYER).shared(timeout=0):
            pass
        with pytest.raises(LockHeld):
            FileLock(path, Rank.LAYER).acquire(timeout=0)
        assert FileLock.is_held(path)


def test_it_dies_with_its_holder(path):
    with another_process(path) as holder:
        assert FileLock.is_held(path)
        holder.kill()
        holder.wait()
        assert not FileLock.is_held(path)


def test_it_is_not_inherited(path):
    """A container that the holder starts must not keep the lock alive."""
    lock = FileLock(path, Rank.LAYER)
    lock.acquire()
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
    child = os.posix_spawn("/bin/cat", ["cat"], os.environ, file_actions=actions)
    lock.release()
    assert not FileLock.is_held(path)
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def test_waiting_ends_when_it_is_free(path):
    lock = FileLock(path, Rank.LAYER)
    with another_process(path) as holder, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lock.acquire, timeout=60)
        assert not waiting.done()
        assert holder.stdin is not None
        holder.stdin.close()
        waiting.result()
        assert FileLock.is_held(path)
        lock.release()


def test_a_lock_file_that_is_missing_is_held_by_nobody(path):
    assert not FileLock.is_held(path)
    assert not os.path.exists(path)


def test_probing_disturbs_nobody(path):
    """A probe takes the lock for a moment; neither a try nor another probe may fall for it."""
    open(path, "w").close()
    with ThreadPoolExecutor(4) as pool:
        probes = [pool.submit(FileLock.is_held, path) for _ in range(200)]
        for _ in range(100):
            with FileLock(path, Rank.LEASE).exclusive(timeout=10):
                pass
        for probe in probes:
            probe.result()
    assert not FileLock.is_held(path)


def test_ranks_are_taken_upwards(tmp_path):
    def lock(rank: Rank) -> FileLock:
        return FileLock(str(tmp_path / rank.name), rank)

    with lock(Rank.STORE).exclusive(), lock(Rank.LAYER).exclusive():
        for rank in (Rank.STORE, Rank.CONTAINER, Rank.LAYER):
            with pytest.raises(AssertionError, match=f"lock order: {rank.name} after LAYER"):
                lock(rank).acquire(timeout=0)
        with lock(Rank.DATABASE).exclusive():
            pass
        with lock(Rank.LEASE).exclusive():
            pass
    with lock(Rank.STORE).exclusive():
        pass


def test_the_order_is_each_threads_own(tmp_path):
    with (
        FileLock(str(tmp_path / "a"), Rank.DATABASE).exclusive(),
        ThreadPoolExecutor(1) as pool,
    ):
        store = FileLock(str(tmp_path / "b"), Rank.STORE)
        pool.submit(store.acquire).result()
        store.release()


def test_another_thread_may_let_go(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        lock = FileLock(str(tmp_path / "a"), Rank.DATABASE)
        pool.submit(lock.acquire).result()
        lock.release()
        store = FileLock(str(tmp_path / "b"), Rank.STORE)
        pool.submit(store.acquire).result()  # the thread holds nothing by now
        store.release()


def test_each_of_two_threads_lets_go_of_its_own_share(tmp_path):
    lock = FileLock(str(tmp_path / "a"), Rank.DATABASE)
    store = FileLock(str(tmp_path / "b"), Rank.STORE)
    with ThreadPoolExecutor(1) as pool:
        lock.acquire(shared=True)
        pool.submit(lock.acquire, shared=True).result()
        lock.release()
        with store.exclusive():  # this thread holds nothing by now
            assert FileLock.is_held(lock.path)
        pool.submit(lock.release).result()
        assert not FileLock.is_held(lock.path)


def test_several_of_one_rank_are_taken_in_one_order(tmp_path):
    paths = [str(tmp_path / name) for name in "cab"]
    with another_process(paths[0]):
        with pytest.raises(LockHeld, match="/c"), together(paths, Rank.LAYER, timeout=0):
            raise AssertionError("not reached")
        assert not FileLock.is_held(paths[1])
    with together([*paths, paths[0]], Rank.LAYER):
        assert all(FileLock.is_held(path) for path in paths)
        with pytest.raises(AssertionError, match="lock order"), together(paths, Rank.LAYER):
            raise AssertionError("not reached")
    assert not any(FileLock.is_held(path) for path in paths)
    with together([], Rank.LAYER):
        pass
