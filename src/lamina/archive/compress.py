"""Compression, told by content and undone in a thread of its own.

While the caller parses and writes, the thread reads, inflates and hashes: the codecs and SHA-256
release the interpreter's lock, so two cores work. At most a few chunks lie between the two.
gzip (igzip, else zlib), zstd (windows up to 128 MiB), xz (128 MiB of memory), bzip2, none.
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

from lamina.archive.header import is_header
from lamina.errors import BadArchive, UnknownCompression, from_oserror
from lamina.values.closing import Closing

if TYPE_CHECKING:
    import gzip

    from _typeshed import WriteableBuffer

_CHUNK = 1 << 18  # compressed bytes read at once
_OUT = 1 << 20  # bytes out of a codec at once
_TELLING = 512  # bytes of plain data that tell what it is: a tar's first header
_AHEAD = 4  # chunks that may wait for the reader
_PATIENCE = 0.5  # seconds: a Ctrl-C that came just before a wait began is heard after it
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


class Decompressed(Closing):
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
        try:
            self._thread.start()
        except BaseException:  # a Ctrl-C while it begins: nobody would end it
            self.close()
            raise

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
                self._changed.wait(_PATIENCE)
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
            ended = self._ended
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None and not ended:
            cancel()  # it may wait for bytes that nobody will read
        if self._thread.ident is not None:
            self._thread.join()


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
        yield from _undone(kind, start, stream)
    except OSError as error:
        raise from_oserror(error, "reading the archive") from error


def _undone(kind: str, start: bytes, stream: ByteStream) -> Iterator[bytes]:
    if kind == "none":
        return _chunks(start, stream)
    if kind == "gzip":
        return _begun(kind, start, _gunzipped(_Refilled(start, stream)))
    return _begun(kind, start, _members(kind, _chunks(start, stream)))


def _begun(kind: str, start: bytes, plain: Iterator[bytes]) -> Iterator[bytes]:
    """The same; of data that is damaged before a codec gave any, what tells that it was a tar."""
    try:
        first = next(plain, b"")
    except BadArchive:
        if is_header(data := _beginning(kind, start)):
            yield data
        raise
    if first:
        yield first
        yield from plain


def _beginning(kind: str, start: bytes) -> bytes:
    """So little of the plain bytes that a checksum which they fail is not reached."""
    if kind == "gzip":
        import zlib

        try:
            return zlib.decompressobj(wbits=31).decompress(start, _TELLING)
        except zlib.error:
            return b""
    return _CODECS[kind]().begin(start)


def _chunks(start: bytes, stream: ByteStream) -> Iterator[bytes]:
    data = start
    while data:
        yield data
        data = stream.read(_OUT)


def _gunzipped(stream: "_Refilled") -> Iterator[bytes]:
    """Every member of gzip data, one after the other; zeros may pad the end.

    A file is asked, not a codec: it inflates into one buffer of the size that is wanted and takes
    the interpreter's lock once a piece, where a codec's object takes it a dozen times, each time
    from the thread that extracts.
    """
    open_file, damaged = _gzip()
    with open_file(fileobj=stream, mode="rb") as file:
        while data := _piece_of(file, stream, damaged):
            yield data


def _gzip() -> "tuple[Callable[..., gzip.GzipFile], type[Exception]]":
    """A file of gzip data and its codec's own error; igzip's where it is installed."""
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        import gzip
        import zlib

        return gzip.GzipFile, zlib.error
    return igzip.IGzipFile, cast("type[Exception]", isal_zlib.error)


def _piece_of(file: "gzip.GzipFile", stream: "_Refilled", damaged: type[Exception]) -> bytes:
    try:
        return file.read(_OUT)
    except EOFError:
        raise BadArchive("the gzip data is cut off") from None
    except (OSError, damaged) as error:  # gzip.BadGzipFile is an OSError
        if stream.failure is not None:
            raise stream.failure from error
        if "Not a gzipped file" in str(error):
            raise BadArchive("there is something after the end of the gzip data") from None
        raise BadArchive(f"the gzip data is damaged: {error}") from error


class _Refilled(io.RawIOBase):
    """A stream whose start was read already, as a file; remembers an error of the stream's own."""

    def __init__(self, start: bytes, stream: ByteStream) -> None:
        self._start = start
        self._stream = stream
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        try:
            data = self._start or self._stream.read(len(view))
        except OSError as error:
            self.failure = error
            raise
        view[: len(data)] = data[: len(view)]
        self._start = data[len(view) :]
        return min(len(data), len(view))


def _members(kind: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of the stream, one after the other."""
    codec = _CODECS[kind]
    feed = codec()
    for chunk in chunks:
        data = chunk
        while data:
            if feed.eof:
                feed = codec()
            try:
                yield from feed.feed(data)
            except _CodecError as error:
                raise BadArchive(f"the {kind} data is damaged: {error}") from error
            data = feed.unused if feed.eof else b""
    if not feed.eof:
        raise BadArchive(f"the {kind} data is cut off")


class _CodecError(Exception):
    """A codec's own error, whatever its type."""


class _Bounded:
    """One member of a codec that can be asked for at most so much at once."""

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

    def begin(self, data: bytes) -> bytes:
        """The first plain bytes, as far as there are any; for a codec that was fed nothing."""
        try:
            return self._object.decompress(data, _TELLING)
        except self._error:
            return b""

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
        from lamina.archive.zstandard import zstd

        options = {int(zstd.DecompressionParameter.window_log_max): 27}  # 128 MiB
        made: _BoundedObject = zstd.ZstdDecompressor(options=options)
        return made, (zstd.ZstdError,)


_CODECS: dict[str, Callable[[], _Bounded]] = {
    "xz": _Xz,
    "bzip2": _Bzip2,
    "zstd": _Zstd,
}
