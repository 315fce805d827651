"""Compression, told by content and undone in a thread of its own.

While the caller parses and writes, the thread reads, inflates and hashes: the codecs and SHA-256
release the interpreter's lock, so two cores work. At most a few chunks lie between the two.
gzip (igzip, else zlib), zstd (windows up to 128 MiB), xz (128 MiB of memory), bzip2, none.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, cast

from lamina.errors import BadArchive, UnknownCompression, from_oserror

_CHUNK = 1 << 18  # compressed bytes read at once
_OUT = 1 << 20  # bytes out of a codec at once
_AHEAD = 4  # chunks that may wait for the reader
_MEMORY = 128 << 20

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
}
_FOREIGN = {
    b"PK\x03\x04": "zip",
    b"LZIP": "lzip",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress",
}


class ByteStream(Protocol):
    """Anything with `read(n)`: up to n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


def detect(start: bytes) -> str:
    """gzip, zstd, xz, bzip2 or none, by the first bytes; raises `UnknownCompression`."""
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    if len(start) >= 4 and 0x50 <= start[0] <= 0x5F and start[1:4] == b"\x2a\x4d\x18":
        return "zstd"  # a skippable frame comes first
    for magic, name in _FOREIGN.items():
        if start.startswith(magic):
            raise UnknownCompression(f"this is {name}, which Lamina does not read")
    return "none"


class Decompressed:
    """The plain bytes of a stream of any compression, as a context manager.

    `tap` is given every plain byte, on the thread, before the reader sees it. `read` raises
    `BadArchive` for a damaged or cut-off stream.
    """

    def __init__(self, stream: ByteStream, tap: Callable[[bytes], object] | None = None) -> None:
        self._stream = stream
        self._tap = tap
        self._ready: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._rest = b""
        self._thread = threading.Thread(target=self._run, name="lamina-inflate", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for data in _plain(self._stream):
                if self._tap is not None:
                    self._tap(data)
                with self._changed:
                    while len(self._ready) >= _AHEAD and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    self._ready.append(data)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again on the reader's thread
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        data = self._rest or self._next()
        self._rest = data[size:]
        return data[:size] if self._rest else data

    def _next(self) -> bytes:
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if self._ready:
                data = self._ready.popleft()
                self._changed.notify_all()
                return data
        if self._error is not None:
            raise self._error
        return b""

    def drain(self) -> None:
        """Read what is left and throw it away, so that the tap has seen everything."""
        while self.read(_OUT):
            pass

    def close(self) -> None:
        """Stop reading; the stream stays the caller's."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_decompressed(
    stream: ByteStream, tap: Callable[[bytes], object] | None = None
) -> Decompressed:
    """The plain bytes of `stream`, whatever compressed it."""
    return Decompressed(stream, tap)


def _plain(stream: ByteStream) -> Iterator[bytes]:
    try:
        start = stream.read(_CHUNK)
        while 0 < len(start) < 6:
            more = stream.read(_CHUNK)
            if not more:
                break
            start += more
        kind = detect(start)
        chunks = _chunks(start, stream)
        yield from chunks if kind == "none" else _members(kind, chunks)
    except OSError as error:
        raise from_oserror(error, "reading the archive") from error


def _chunks(start: bytes, stream: ByteStream) -> Iterator[bytes]:
    data = start
    while data:
        yield data
        data = stream.read(_OUT)


def _members(kind: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of the stream, one after the other; zeros may pad the end."""
    codec = _CODECS[kind]
    feed = codec()
    any_member = False
    for chunk in chunks:
        data = chunk
        while data:
            if feed.eof:
                data = data.lstrip(b"\0") if kind == "gzip" else data
                if not data:
                    break
                feed = codec()
            try:
                yield from feed.feed(data)
            except _CodecError as error:
                if any_member and kind == "gzip" and not feed.started:
                    raise BadArchive("there is something after the end of the gzip data") from None
                raise BadArchive(f"the {kind} data is damaged: {error}") from error
            any_member |= feed.eof
            data = feed.unused if feed.eof else b""
    if not feed.eof:
        raise BadArchive(f"the {kind} data is cut off")


class _CodecError(Exception):
    """A codec's own error, whatever its type."""


class _Gzip:
    """One gzip member; igzip where it is installed, because it is twice as fast."""

    def __init__(self) -> None:
        try:
            from isal import isal_zlib as codec
        except ImportError:
            import zlib as codec  # type: ignore[no-redef]
        self._error = cast("type[Exception]", codec.error)
        self._object = codec.decompressobj(wbits=31)
        self.started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data and not self._object.eof:
                plain = self._object.decompress(data, _OUT)
                data = self._object.unconsumed_tail
                if plain:
                    self.started = True
                    yield plain
        except self._error as error:
            raise _CodecError(str(error)) from error

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._object.unused_data)


class _Bounded:
    """One member of a codec that can be asked for at most so much at once."""

    started = True

    def __init__(self) -> None:
        self._object, self._error = self._open()

    def _open(self) -> tuple["_BoundedObject", tuple[type[Exception], ...]]:
        raise NotImplementedError

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while not self._object.eof:
                plain = self._object.decompress(data, _OUT)
                data = b""
                if plain:
                    yield plain
                elif self._object.needs_input:
                    return
        except self._error as error:
            raise _CodecError(str(error)) from error

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused(self) -> bytes:
        return self._object.unused_data


class _BoundedObject(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Xz(_Bounded):
    def _open(self) -> tuple[_BoundedObject, tuple[type[Exception], ...]]:
        import lzma

        made: _BoundedObject = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)
        return made, (lzma.LZMAError,)


class _Bzip2(_Bounded):
    def _open(self) -> tuple[_BoundedObject, tuple[type[Exception], ...]]:
        import bz2

        made: _BoundedObject = bz2.BZ2Decompressor()
        return made, (OSError, ValueError)


class _Zstd(_Bounded):
    def _open(self) -> tuple[_BoundedObject, tuple[type[Exception], ...]]:
        from backports import zstd

        options = {int(zstd.DecompressionParameter.window_log_max): 27}  # 128 MiB
        made: _BoundedObject = zstd.ZstdDecompressor(options=options)
        return made, (zstd.ZstdError,)


_CODECS: dict[str, Callable[[], _Gzip | _Bounded]] = {
    "gzip": _Gzip,
    "xz": _Xz,
    "bzip2": _Bzip2,
    "zstd": _Zstd,
}
