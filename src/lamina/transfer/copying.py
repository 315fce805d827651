"""`copy`: content from one end to another, byte for byte, without unpacking anything.

What the sink has is not sent. Every byte is verified on its way; the sink shows the image only
when all of it is there. Nothing is kept here.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from lamina.content.verified import ByteStream, VerifiedReader
from lamina.errors import StorageError, from_oserror
from lamina.fs.faults import crash_point
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.api import Abandons, Source
from lamina.transfer.ends.api import Sink as End
from lamina.transfer.graph import Graph
from lamina.transfer.telling import one_at_a_time
from lamina.values.digest import Digest, ImageID
from lamina.values.events import LayerProgress, Sink, ignore

_STEP = 1 << 19  # bytes after which progress is told again


class Copied(NamedTuple):
    """What the sink has now: the document with this `digest`, where it holds documents, and the
    `image` with this ID, where it holds images. `kept` says that the source has the same document.
    """

    digest: Digest | None
    image: ImageID | None
    kept: bool


def copy(graph: Graph, source: Source, sink: End, events: Sink = ignore) -> Copied:
    """Have all of a graph at the sink, under the name that the sink was made for.

    Raises `BadInput`, `RegistryError` or `StorageError`; the sink shows nothing new then.
    """
    sink.begin(graph.top, graph.blobs)
    send_blobs(graph.blobs, source, sink, one_at_a_time(events))
    for document in graph.documents:
        sink.put_document(document)
    crash_point("copy-complete")
    sink.publish(graph.top)
    crash_point("copy-published")
    return Copied(graph.top.digest, None, True)


def send_blobs(blobs: Sequence[Descriptor], source: Source, sink: End, events: Sink) -> None:
    """Have blobs at a sink, several at a time; the first that fails stops the others."""
    carrying = _Carrying(source, sink, events)
    for blob in blobs:
        events(LayerProgress(blob.digest.short, "waiting", 0, blob.size))
    with ThreadPoolExecutor(sink.at_once, thread_name_prefix="lamina-copy") as pool:
        try:
            for done in [pool.submit(carrying.carry, blob) for blob in blobs]:
                done.result()
        except BaseException:  # we are interrupted
            carrying.stop()
            raise
    carrying.check()


class _Carrying:
    """Carries blobs, from several threads at once."""

    def __init__(self, source: Source, sink: End, events: Sink) -> None:
        self._source = source
        self._sink = sink
        self._events = events
        self._lock = threading.Lock()
        self._stopped = False
        self._failure: BaseException | None = None
        self._flows: set[_Flow] = set()

    def carry(self, blob: Descriptor) -> None:
        """Have one blob at the sink; `check` says what went wrong."""
        if self._stopped:
            return
        try:
            state = "already exists"
            if not self._sink.has(blob):
                state = self._sink.put(blob, lambda: self._opened(blob))
                crash_point("blob-copied")
            self._events(LayerProgress(blob.digest.short, state, blob.size, blob.size))
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            with self._lock:
                self._failure = self._failure or error
            self.stop()

    def check(self) -> None:
        """Raise what went wrong first."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Nothing more is wanted: every read ends at once, and every wait of the sink."""
        with self._lock:
            self._stopped = True
            flows = list(self._flows)
        for flow in flows:
            flow.cancel()
        if isinstance(self._sink, Abandons):
            self._sink.give_up()

    @contextmanager
    def _opened(self, blob: Descriptor) -> Iterator[ByteStream]:
        with self._source.open(blob) as stream:
            flow = _Flow(stream, blob, self._sink.doing, self._events)
            with self._lock:
                self._flows.add(flow)
                if self._stopped:
                    flow.cancel()
            try:
                yield flow
            finally:
                with self._lock:
                    self._flows.discard(flow)


class _Flow:
    """A blob's bytes on their way: verified, counted, told; ended from another thread."""

    def __init__(self, stream: ByteStream, blob: Descriptor, doing: str, events: Sink) -> None:
        self._stream = stream
        self._verified = VerifiedReader(stream, blob.digest, blob.size)
        self._blob = blob
        self._doing = doing
        self._events = events
        self._at = self._told = 0
        self._cancelled = False

    def cancel(self) -> None:
        """End a read that waits, and every other."""
        self._cancelled = True
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None:
            cancel()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; the last read raises unless they were the right ones."""
        name = self._blob.digest.short
        if self._cancelled:
            raise StorageError(f"the blob {name} is no longer wanted")
        try:
            data = self._verified.read(size)
        except OSError as error:
            raise from_oserror(error, "reading the blob", name) from error
        self._at += len(data)
        if self._at - self._told >= _STEP:
            self._told = self._at
            self._events(LayerProgress(name, self._doing, self._at, self._blob.size))
        return data
