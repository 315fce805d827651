"""The blobs of an image, several at once, each on a thread of its own.

A blob that another process is fetching is waited for and shared; what was half fetched goes on.
The rows are written by the caller's thread before anything begins; the threads only know files.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from lamina.content.ingest import Ingest
from lamina.content.verified import ByteStream
from lamina.errors import LockHeld
from lamina.fs.locks import Rank
from lamina.images.api import BlobFacts
from lamina.images.store import ImageStore
from lamina.layers import gc
from lamina.metadata.blobs import BlobRow
from lamina.values.digest import BlobDigest, DiffID
from lamina.values.events import LayerProgress, Sink

_AT_ONCE = 3  # docker's max-concurrent-downloads
_LOCK_DIGITS = 3  # 4,096 lock files; two blobs that share one only wait for each other
_PATIENCE = 0.2  # seconds between looks whether it is still wanted
_STEP = 1 << 19  # bytes after which progress is told again

Source = Callable[[BlobFacts, int], AbstractContextManager[ByteStream]]
"""Gives a blob's bytes from an offset on."""


class Fetching:
    """Fetches blobs while it is open; leaving it stops what is not done.

    `events` is called from several threads (`one_at_a_time`).
    """

    def __init__(
        self,
        source: Source,
        wanted: Sequence[tuple[BlobFacts, DiffID]],
        images: ImageStore,
        events: Sink,
    ) -> None:
        self._source = source
        self._images = images
        self._events = events
        self._ingests: dict[BlobDigest, Ingest] = {}
        images.announce_ingests(
            BlobRow(facts.digest, facts.size, facts.media_type, diff_id)
            for facts, diff_id in wanted
        )
        for facts, _ in wanted:
            self._ingests[facts.digest] = self._ingest(facts)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lamina-fetch")
        single = {facts.digest: facts for facts, _ in wanted}.values()
        for facts in single:
            events(LayerProgress(facts.digest.short, "waiting", 0, facts.size))
        for facts in single:
            self._pool.submit(self._fetch_or_fail, facts)

    def _ingest(self, facts: BlobFacts) -> Ingest:
        root = self._images.root
        partial = gc.partial_path(root, facts.digest, facts.size)
        return Ingest(facts.digest, facts.size, partial, gc.blob_path(root, facts.digest))

    def _fetch_or_fail(self, facts: BlobFacts) -> None:
        try:
            self._fetch(facts)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
            self._ingests[facts.digest].fail(error)

    def _fetch(self, facts: BlobFacts) -> None:
        ingest, name = self._ingests[facts.digest], facts.digest.short
        told = 0

        def passed(there: int) -> None:
            nonlocal told
            if there - told >= _STEP or there == facts.size:
                told = there
                self._events(LayerProgress(name, "downloading", there, facts.size))

        lock = self._images.root.lock(Rank.BLOB, "ingests", facts.digest.hex[:_LOCK_DIGITS])
        while not ingest.stopped:
            try:
                lock.acquire(timeout=_PATIENCE)
            except LockHeld:
                continue  # another process fetches it
            try:
                ingest.fetch(lambda offset: self._source(facts, offset), passed)
                if ingest.placed:
                    gc.drop_partials(self._images.root, facts.digest)
            finally:
                lock.release()
            break
        self._events(LayerProgress(name, "download complete", facts.size, facts.size))

    @property
    def digests(self) -> frozenset[BlobDigest]:
        """All that is fetched here."""
        return frozenset(self._ingests)

    def open(self, digest: BlobDigest) -> AbstractContextManager[ByteStream]:
        """A blob's bytes as they come; the last of them only when it is whole and right."""
        return self._ingests[digest].open()

    def wait(self) -> None:
        """Wait until all are here; raises what went wrong with one."""
        for ingest in self._ingests.values():
            ingest.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for ingest in self._ingests.values():
                ingest.stop()
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
