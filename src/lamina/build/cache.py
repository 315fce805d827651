"""The build's memory in the store's database, and the locks for doing the same work once."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.build.record import Record
from lamina.build.statcache import StatCache
from lamina.build.stop import Stop
from lamina.fs.locks import Rank
from lamina.metadata import cache
from lamina.metadata.root import StoreRoot

_LOCK_DIGITS = 3  # 4,096 lock files; two different steps that share one only wait for each other


class StoreCache:
    """Cache records of one store."""

    def __init__(self, root: StoreRoot) -> None:
        self._root = root

    def find(self, key: str) -> Record | None:
        """The record of `key`, if its layer is still here."""
        with self._root.database.read() as db:
            row = cache.find(db, key)
        return Record(row.chain_id, row.inputs, row.created) if row is not None else None

    def record(self, key: str, record: Record) -> None:
        """Remember what `key` gave."""
        with self._root.database.write() as db:
            cache.record(db, key, record.chain_id, record.inputs, record.created)

    recall = find
    note = record

    def stat_cache(self, context: str) -> StatCache:
        """The stat cache of a context (docs/format/build-cache.md)."""
        if not context:
            return StatCache(None)
        digest = hashlib.sha256(os.fsencode(context)).hexdigest()
        path = self._root.folder("contexts", digest[:32])
        return StatCache(path, lambda: self._root.scratch("context"))

    @contextmanager
    def single_flight(self, key: str, stop: Stop) -> Iterator[None]:
        """Hold the step's lock; whoever waited for it looks again into the cache first."""
        lock = self._root.lock(Rank.STEP, "steps", key[-_LOCK_DIGITS:])
        stop.wait_for(lock)
        try:
            yield
        finally:
            lock.release()
