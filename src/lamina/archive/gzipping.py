"""gzip data that is the same on every machine: blocks of one size, deflated side by side.

zlib releases the interpreter's lock, so as many cores work as there are; the blocks' borders and
the bytes do not depend on how many. A block may refer to the 32 KiB before it, as pigz does.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_BLOCK = 1 << 20
_WINDOW = 1 << 15
DEFAULT_LEVEL = 6
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952: no name, no time, no system
_RAW = -15


class Gzip:
    """Takes bytes by `write` and gives gzip data to `out`; `finish` ends it."""

    def __init__(self, out: Callable[[bytes], object], level: int = DEFAULT_LEVEL) -> None:
        self._out = out
        self._level = level
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="lamina-deflate")
        self._running: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._before = b""
        self._sum = 0
        self._size = 0
        out(_HEAD)

    def write(self, data: bytes) -> None:
        """Take some bytes."""
        self._sum = zlib.crc32(data, self._sum)
        self._size += len(data)
        self._block += data
        while len(self._block) >= _BLOCK:
            self._begin(bytes(self._block[:_BLOCK]), last=False)
            del self._block[:_BLOCK]

    def _begin(self, block: bytes, *, last: bool) -> None:
        while len(self._running) > self._threads:
            self._out(self._running.popleft().result())
        self._running.append(self._pool.submit(_deflated, self._level, block, self._before, last))
        self._before = block[-_WINDOW:]

    def finish(self) -> None:
        """Give out what is left, and the end."""
        self._begin(bytes(self._block), last=True)
        while self._running:
            self._out(self._running.popleft().result())
        self._out(self._sum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
        self.close()

    def close(self) -> None:
        """End the threads, also in the middle."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _deflated(level: int, block: bytes, before: bytes, last: bool) -> bytes:
    codec = zlib.compressobj(level, zlib.DEFLATED, _RAW, zdict=before)
    return codec.compress(block) + codec.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
