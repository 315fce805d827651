"""A layer's tar put together as docker and podman do it: tar-split's pieces around the files.

tar-split (github.com/vbatts/tar-split, tar/storage) is gzip'd JSON, one object a line: type 2
carries raw bytes of the tar, type 1 stands for the content of one file. Its CRC-64 of each file is
not looked at, because whoever takes the tar checks the SHA-256 of the whole. Knows no engine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from lamina.archive.compress import open_decompressed
from lamina.errors import BadDocument, StoreDamaged, from_oserror
from lamina.fs.inroot import Root, clean, shown

_FILE, _SEGMENT = 1, 2
_LINE_LIMIT = 4 << 20  # bytes; tar-split cuts segments at 1 MiB, a third more in base64
_CHUNK = 1 << 20


class _Piece(msgspec.Struct):
    type: int
    name: str = ""
    name_raw: bytes | None = None
    size: int = 0
    payload: bytes | None = None


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Assembled:
    """The tar as a stream: `read(n)` gives up to n bytes, none at the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; raises `BadDocument`, `StoreDamaged` or `StorageError`."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


@contextmanager
def assembled(metadata: _Stream, files: Root) -> Iterator[Assembled]:
    """The tar that `metadata` (gzip'd tar-split) tells of, with the contents beneath `files`."""
    with open_decompressed(metadata) as plain:
        yield Assembled(_pieces(plain, files))


def _pieces(plain: _Stream, files: Root) -> Iterator[bytes]:
    decode = msgspec.json.Decoder(_Piece).decode
    for line in _lines(plain):
        try:
            piece = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadDocument(f"the layer's tar-split data is damaged: {error}") from error
        if piece.type == _SEGMENT:
            yield piece.payload or b""
        elif piece.type != _FILE:
            raise BadDocument(f"the layer's tar-split data has a piece of type {piece.type}")
        elif piece.size:
            yield from _content(files, piece)


def _lines(plain: _Stream) -> Iterator[bytes]:
    rest = b""
    while data := plain.read(_CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > _LINE_LIMIT:
            raise BadDocument(f"the layer's tar-split data has a line of over {_LINE_LIMIT} bytes")
        yield from filter(None, lines)
    if rest:
        yield rest


def _content(files: Root, piece: _Piece) -> Iterator[bytes]:
    """Just as many bytes of a file as the tar has; what the file is now is not asked."""
    name = clean(piece.name_raw if piece.name_raw is not None else os.fsencode(piece.name))
    left = piece.size
    try:
        # a FIFO or a device in the file's place must not hang the reader
        descriptor = files.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise StoreDamaged(f"the file {shown(name)} of the layer is gone") from None
    except OSError as error:
        raise from_oserror(error, "reading", shown(name)) from error
    try:
        while left:
            data = os.read(descriptor, min(_CHUNK, left))
            if not data:
                raise StoreDamaged(f"the file {shown(name)} of the layer became shorter")
            left -= len(data)
            yield data
    except OSError as error:
        raise from_oserror(error, "reading", shown(name)) from error
    finally:
        os.close(descriptor)
