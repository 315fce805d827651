"""Cache mounts (`RUN --mount=type=cache`): read-write layers of the store that outlast a build.

    staged layer -> owner and mode set -> one transaction: ready, recorded, referred to

A kill before the transaction leaves a staged layer, which recovery takes away; after it the cache
is there. Who uses one holds its lock, shared or alone as `sharing` says, and a claim of its lease,
so that nobody collects what was pruned meanwhile. Nothing of a cache is in any key.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

from lamina.build.api import CacheWish
from lamina.build.stop import Stop
from lamina.errors import BuildError, LockHeld
from lamina.fs.faults import crash_point
from lamina.fs.inroot import Root
from lamina.fs.locks import FileLock, Rank
from lamina.fs.mounting import Bind, detached
from lamina.layers.store import LayerStore
from lamina.metadata import cache, refs
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
        self, wishes: Sequence[CacheWish], say: Callable[[str], None], stop: Stop
    ) -> Iterator[tuple[LayerID, ...]]:
        """The caches' layers, locked as wished for the block's time.

        Locks are taken in the order of the keys, so that two builds cannot wait for each other.
        """
        with ExitStack() as held:
            found = {
                wish.key: self._take(wish, held, say, stop)
                for wish in sorted(_strictest(wishes), key=lambda wish: wish.key)
            }
            for wish in wishes:
                self._make_path(found[wish.key], wish)
            yield tuple(found[wish.key] for wish in wishes)

    def _take(
        self, wish: CacheWish, held: ExitStack, say: Callable[[str], None], stop: Stop
    ) -> LayerID:
        if wish.sharing == "private":
            return self._take_free(wish, held)
        layer = self._layer(wish, 0)
        lock = self._lock(wish, "0")
        alone = wish.sharing == "locked" or not self._may_share(layer)
        try:
            lock.acquire(shared=not alone, timeout=0)
        except LockHeld:
            say(f"waiting for the cache {wish.title}, which another build has to itself")
            stop.wait_for(lock, shared=not alone)
        held.callback(lock.release)
        return layer

    def _take_free(self, wish: CacheWish, held: ExitStack) -> LayerID:
        """The first of a private cache's instances that nobody uses; a new one after the last."""
        for number in count():
            lock = self._lock(wish, str(number))
            try:
                lock.acquire(timeout=0)
            except LockHeld:
                continue
            held.callback(lock.release)
            return self._layer(wish, number)
        raise AssertionError("there is always one more")

    def _may_share(self, layer: LayerID) -> bool:
        """Whether the layer is a plain directory: an overlay or a device is mounted once."""
        return isinstance(self._layers.mounts(layer, writable=True).root, Bind)

    def _lock(self, wish: CacheWish, part: str) -> FileLock:
        return self._root.lock(Rank.LEASE, "caches", f"{_hex(wish.key)}.{part}")

    def _layer(self, wish: CacheWish, number: int) -> LayerID:
        """The instance's layer, made when it is missing, and this opener's from now on."""
        key = f"{wish.key}.{number}"
        known = self._known(key)
        if known is not None:
            return known
        with self._lock(wish, "making").exclusive():
            return self._known(key) or self._make(wish, key)

    def _known(self, key: str) -> LayerID | None:
        with self._root.database.write() as db:
            layer = cache.kept_layer(db, key)
            if layer is not None:
                refs.add(db, refs.LEASE, self._root.lease, layer)
        return layer

    def _make(self, wish: CacheWish, key: str) -> LayerID:
        layer = self._layers.create_rw(wish.parent)
        try:
            with detached(self._layers.mounts(layer, writable=True)) as root:
                os.fchown(root, wish.uid, wish.gid)
                os.fchmod(root, wish.mode)
            crash_point("cache-mount-made")
            inputs = json.dumps({"facts": {"op": "cache mount", "id": wish.title}, "files": {}})
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
                root.makedirs(os.fsencode(wish.path), wish.mode, wish.uid, wish.gid)
            finally:
                root.close()


def _strictest(wishes: Sequence[CacheWish]) -> list[CacheWish]:
    """One wish for each cache: a command that asks twice for one has it once."""
    found: dict[str, CacheWish] = {}
    for wish in sorted(wishes, key=lambda wish: _STRICTEST.index(wish.sharing)):
        found[wish.key] = wish
    return list(found.values())


def _hex(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
