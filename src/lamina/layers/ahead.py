"""Several layers of one chain filled at once, by a driver that can fill them ahead of those below.

Each has a thread, which waits at its first question of what lies below until all of that is there
and verified; so the outcome is that of one after the other. They become visible in order, by the
caller's thread, which alone speaks to the database.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from lamina.archive.entry import Segment
from lamina.archive.results import Figures
from lamina.drivers.api import AppliesAhead, Driver, OnPlaced
from lamina.errors import StorageError
from lamina.layers import unpack
from lamina.layers.kinds import Coming, ReadableStream
from lamina.layers.source import TarSource
from lamina.layers.unpack import Filled
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot

_AT_ONCE = 3  # each inflates, hashes and writes on threads of its own


class AheadDriver(Driver, AppliesAhead, Protocol):
    """A driver that can do this."""


def register(
    root: StoreRoot,
    driver: AheadDriver,
    parent: LayerRow | None,
    coming: Sequence[Coming],
    published: Callable[[int], None],
) -> int:
    """Lay the layers over `parent`, one upon the other; tells of each, and gives how many.

    Fewer than all when somebody published the same meanwhile: the rest is to be laid over that.
    Raises what `apply` raises, and `DigestMismatch`; of what is not published nothing is left.
    """
    rows = unpack.stage(root, driver, parent, len(coming), durable=True)
    done = 0
    try:
        for row in rows:
            unpack.create(driver, row)
        with _Crew(root, driver, rows, coming) as crew:
            for row in rows:
                known = unpack.publish(root, row, parent, crew.filled(done), durable=True)
                published(done)
                done += 1
                if known.id != row.id:
                    return done
                parent = known
    finally:
        for row in reversed(rows):
            unpack.discard(root, driver, row.id)
    return done


class _Stopped(StorageError):
    """That a layer was given up because another one failed."""


class _Stoppable:
    """A stream of which nothing more is read once another layer failed, however much is left."""

    def __init__(self, stream: ReadableStream, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check

    def read(self, size: int, /) -> bytes:
        self._check()
        return self._stream.read(size)

    def cancel(self) -> None:
        """Hand on that its reader is going."""
        _cancel(self._stream)


def _cancel(stream: ReadableStream) -> None:
    cancel = getattr(stream, "cancel", None)
    if cancel is not None:
        cancel()


class _Crew:
    """The threads that fill; leaving it waits for them, and stops them first after an error."""

    def __init__(
        self,
        root: StoreRoot,
        driver: AheadDriver,
        rows: Sequence[LayerRow],
        coming: Sequence[Coming],
    ) -> None:
        self._root = root
        self._driver = driver
        self._rows = rows
        self._coming = coming
        self._changed = threading.Condition()
        self._filled: list[Filled | None] = [None] * len(rows)
        self._failure: BaseException | None = None
        self._waiting = iter(range(len(rows)))
        self._streams: set[ReadableStream] = set()
        self._threads = [
            threading.Thread(target=self._work, name="lamina-layer", daemon=True)
            for _ in range(min(_AT_ONCE, len(rows)))
        ]

    def filled(self, number: int) -> Filled:
        """Wait for a layer; raises what went wrong with any."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._filled[number])
            found = self._filled[number]
            if self._failure is not None or found is None:
                raise self._failure or _Stopped("the layer was given up")
            return found

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                filled = self._fill(number)
                with self._changed:
                    self._filled[number] = filled
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            return None if self._failure is not None else next(self._waiting, None)

    def _fill(self, number: int) -> Filled:
        row, coming = self._rows[number], self._coming[number]

        def apply(segments: Iterable[Segment], placed: OnPlaced, salvage: int | None) -> Figures:
            complete = partial(self._wait_for_all_below, number)
            return self._driver.apply_ahead(
                row.id, self._watched(segments), placed, salvage, complete
            )

        with coming.open() as stream:
            self._reads(stream)
            source, home = TarSource(_Stoppable(stream, self._check)), self._driver.home
            filled = unpack.fill(self._root, row, source, coming.diff_id, home, apply)
        self._driver.commit(row.id)
        return filled

    def _reads(self, stream: ReadableStream) -> None:
        """Remember what is to be cancelled should we stop."""
        with self._changed:
            self._streams.add(stream)
            self._check()

    def _watched(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        for segment in segments:
            self._check()
            yield segment

    def _check(self) -> None:
        if self._failure is not None:
            raise _Stopped("the layer was given up")

    def _wait_for_all_below(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or all(self._filled[:number]))
            self._check()

    def _stop(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
            streams = list(self._streams)
        for stream in streams:
            _cancel(stream)

    def __enter__(self) -> Self:
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self._stop(error)
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()
