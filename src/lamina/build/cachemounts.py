"""Cache mounts (`RUN --mount=type=cache`): read-write layers of the store that outlast a build.

    staged layer -> owner, mode and what it begins with -> one transaction: ready, recorded,
    referred to

A kill before the transaction leaves a staged layer, which recovery takes away; after it the cache
is there. Who uses one holds its lock, shared or alone as `sharing` says, and a claim of its lease,
so that nobody collects what was pruned meanwhile. Nothing of a cache is in any key.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import count
from typing import NamedTuple

from lamina.archive.unsteady import Reading, everything, members
from lamina.build.api import CacheWish, Carried, Seed, Seeds
from lamina.build.mountname import MountName
from lamina.build.stop import Stop, Stopped
from lamina.errors import BuildError, LaminaError, LockHeld
from lamina.fs.faults import crash_point
from lamina.fs.inroot import Root
from lamina.fs.locks import FileLock, Rank
from lamina.fs.mounting import Bind, detached
from lamina.fs.tree import FlatTree
from lamina.layers.store import LayerStore
from lamina.metadata import cache, refs
from lamina.transfer.opening import scratch_file
from lamina.values.ids import LayerID

_STRICTEST = ("shared", "private", "locked")


class StoreMounts:
    """The cache mounts of one store."""

    def __init__(self, layers: LayerStore) -> None:
        self._layers = layers
        self._root = layers.root

    def scratch(self, name: str) -> str:
        """A path in `staging/` for this build alone; after a kill it goes with the lease."""
        return self._root.scratch(name)

    @contextmanager
    def workplace(self) -> Iterator[str]:
        """A read-write layer's directory: whatever is killed, recovery takes it away."""
        layer = self._layers.create_rw(None)
        try:
            path = self._layers.driver.writable_root(layer)
            if not os.path.isdir(path):
                raise BuildError(
                    f"{self._layers.driver.name} has no directory for files from elsewhere",
                    hint="bring them to this machine yourself, as a context",
                )
            yield path
        finally:
            self._layers.remove_rw(layer)

    @contextmanager
    def taken(
        self,
        wishes: Sequence[CacheWish],
        say: Callable[[str], None],
        stop: Stop,
        seeds: Seeds,
    ) -> Iterator[tuple[LayerID, ...]]:
        """The caches' layers, locked as wished for the block's time.

        Locks are taken in the order of the keys, so that two builds cannot wait for each other.
        """
        making = _Making(say, stop, seeds)
        with ExitStack() as held:
            found = {
                wish.key: self._take(wish, held, making)
                for wish in sorted(_strictest(wishes), key=lambda wish: wish.key)
            }
            for wish in wishes:
                self._make_path(found[wish.key], wish)
            yield tuple(found[wish.key] for wish in wishes)

    def _take(self, wish: CacheWish, held: ExitStack, making: "_Making") -> LayerID:
        if wish.sharing == "private":
            return self._take_free(wish, held, making)
        layer = self._layer(wish, 0, making)
        shared = wish.sharing == "shared" and self._may_share(layer)
        self._wait(wish, 0, held, making.say, making.stop, shared=shared)
        return layer

    def _wait(
        self,
        wish: CacheWish,
        number: int,
        held: ExitStack,
        say: Callable[[str], None],
        stop: Stop,
        *,
        shared: bool,
    ) -> None:
        lock = self._lock(wish, str(number))
        try:
            lock.acquire(shared=shared, timeout=0)
        except LockHeld:
            say(f"waiting for the cache {wish.title}, which another build has to itself")
            stop.wait_for(lock, shared=shared)
        held.callback(lock.release)

    def _take_free(self, wish: CacheWish, held: ExitStack, making: "_Making") -> LayerID:
        """The first of a private cache's instances that nobody uses; a new one after the last."""
        for number in count():
            if self._is_taken(wish, number, held):
                return self._layer(wish, number, making)
        raise AssertionError("there is always one more")

    def _is_taken(self, wish: CacheWish, number: int, held: ExitStack) -> bool:
        """Whether an instance is ours now, since nobody else uses it."""
        lock = self._lock(wish, str(number))
        try:
            lock.acquire(timeout=0)
        except LockHeld:
            return False
        held.callback(lock.release)
        return True

    # --- read for others ------------------------------------------------------------------

    @contextmanager
    def carried(
        self, wish: CacheWish, say: Callable[[str], None], stop: Stop
    ) -> Iterator[Carried | None]:
        """What a cache holds, as the next command of that wish would find it.

        Locked as for that; one that begins with a stage is read alone.
        """
        with ExitStack() as held:
            layer, alone = self._take_known(wish, held, say, stop)
            if layer is None:
                yield None
                return
            root = held.enter_context(detached(self._layers.mounts(layer, writable=True)))
            tree = held.enter_context(closing(FlatTree(os.dup(root))))
            changes = everything(tree) if wish.name.parent is None else self._layers.changes(layer)
            left_out: list[bytes] = []
            scratch = None if alone else partial(scratch_file, self._layers)
            yield Carried(members(changes, tree, Reading(scratch, left_out.append)), left_out)

    def _take_known(
        self, wish: CacheWish, held: ExitStack, say: Callable[[str], None], stop: Stop
    ) -> tuple[LayerID | None, bool]:
        """The layer of a cache that is here, locked, and whether nobody else uses it."""
        layer = self._known(f"{wish.key}.0")
        if wish.sharing == "private":
            for number in count():
                other = self._known(f"{wish.key}.{number}")
                if other is None:
                    break
                if self._is_taken(wish, number, held):
                    return other, True
        if layer is None:
            return None, True
        shared = wish.sharing == "shared" and wish.name.parent is None and self._may_share(layer)
        self._wait(wish, 0, held, say, stop, shared=shared)
        return layer, not shared

    def _may_share(self, layer: LayerID) -> bool:
        """Whether the layer is a plain directory: an overlay or a device is mounted once."""
        return isinstance(self._layers.mounts(layer, writable=True).root, Bind)

    def _lock(self, wish: CacheWish, part: str) -> FileLock:
        return self._root.lock(Rank.LEASE, "caches", f"{_hex(wish.key)}.{part}")

    def _layer(self, wish: CacheWish, number: int, making: "_Making") -> LayerID:
        """The instance's layer, made when it is missing, and this opener's from now on."""
        key = f"{wish.key}.{number}"
        known = self._known(key)
        if known is not None:
            return known
        lock = self._lock(wish, "making")
        making.stop.wait_for(lock)
        try:
            return self._known(key) or self._make_seeded(wish.name, key, making)
        finally:
            lock.release()

    def _known(self, key: str) -> LayerID | None:
        with self._root.database.write() as db:
            layer = cache.kept_layer(db, key)
            if layer is not None:
                refs.add(db, refs.LEASE, self._root.lease, layer)
                cache.note_use(db, key, time.time())
        return layer

    def _make_seeded(self, name: MountName, key: str, making: "_Making") -> LayerID:
        """Make an instance of its seed, and an empty one where that does not come."""
        seed = making.seeds(name)
        if seed is not None:
            try:
                return self._make(name, key, seed)
            except Stopped:
                raise
            except LaminaError:
                pass  # whoever knew of it has told why it does not come
        return self._make(name, key, None)

    def begin(self, name: MountName, seed: Seed) -> bool:
        """Make a cache of its seed, unless it is here; whether it was made.

        Raises what the seed raises, or a `StorageError`; nothing is left then.
        """
        wish, key = CacheWish(name, "shared", ""), f"{name.key}.0"
        with self._lock(wish, "making").exclusive():
            if self._known(key) is not None:
                return False
            self._make(name, key, seed)
            return True

    def _make(self, name: MountName, key: str, seed: Seed | None) -> LayerID:
        """Make the cache that a record called `key` is to tell of; nothing is left if it raises."""
        layer = self._layers.create_rw(name.parent)
        try:
            with detached(self._layers.mounts(layer, writable=True)) as root:
                os.fchown(root, name.uid, name.gid)
                os.fchmod(root, name.mode)
                if seed is not None:
                    seed(root)
                    crash_point("cache-mount-filled")
            crash_point("cache-mount-made")
            inputs = json.dumps({"facts": name.facts, "files": {}})
            with self._root.database.write() as db:
                cache.keep_layer(db, key, layer, inputs, time.time())
                refs.add(db, refs.LEASE, self._root.lease, layer)
            crash_point("cache-mount-kept")
        except BaseException:
            self._layers.remove_rw(layer)
            raise
        return layer

    def _make_path(self, layer: LayerID, wish: CacheWish) -> None:
        """The directory in a cache that is asked for, links resolved inside it."""
        if not wish.path:
            return
        with detached(self._layers.mounts(layer, writable=True)) as opened:
            root = Root(os.dup(opened))
            try:
                name = wish.name
                root.makedirs(os.fsencode(wish.path), name.mode, name.uid, name.gid)
            finally:
                root.close()


class _Making(NamedTuple):
    """Whom to tell, whom to ask whether there is still need, and what knows how a cache begins."""

    say: Callable[[str], None]
    stop: Stop
    seeds: Seeds


def _strictest(wishes: Sequence[CacheWish]) -> list[CacheWish]:
    """One wish for each cache: a command that asks twice for one has it once."""
    found: dict[str, CacheWish] = {}
    for wish in sorted(wishes, key=lambda wish: _STRICTEST.index(wish.sharing)):
        found[wish.key] = wish
    return list(found.values())


def _hex(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
