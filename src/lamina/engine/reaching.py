"""`cat` of an image that is not in the store: of its layers, topmost first, no more are read than
tell where a file is.

A body is kept in a file without a name until it is known to be what the config's digests promise;
only then is any of it given out. Nothing else is written.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing

from lamina.analyze.merged import MergedTree
from lamina.analyze.reach import Content, Reach, Unclear, content_of
from lamina.archive.entry import FILE, Body, Piece, Segment, Write
from lamina.archive.index import records
from lamina.engine.elsewhere import Memory, read_whole, verified_segments
from lamina.errors import DigestMismatch, PathNotFound, from_oserror
from lamina.fs.atomic import write_all
from lamina.fs.inroot import shown
from lamina.images.api import TravellingImage
from lamina.values.closing import Closing
from lamina.values.events import LayerProgress, Sink

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


class Reaching(Closing):
    """One image while it is open; `scratch` makes a file that goes with its descriptor."""

    def __init__(self, image: TravellingImage, scratch: Callable[[], int], events: Sink) -> None:
        self._image = image
        self._scratch = scratch
        self._events = events
        self._reach = Reach(len(image.layers))
        self._memory = Memory()
        self._tree: MergedTree | None = None  # where the layers do not tell one by one
        self._kept: dict[tuple[int, bytes], _Kept] = {}  # by layer and name

    def write(self, path: bytes, out: Write) -> None:
        """Give out what a file holds, links followed; raises `PathNotFound`, `BadInput`, ...."""
        found = self._find(path)
        if found.digest:
            kept = next((each for each in self._kept.values() if each.holds(found)), None)
            _give((kept or self._fetched(found)).descriptor, found, out)
        else:
            _give(-1, found, out)

    def close(self) -> None:
        """Let go of what was kept."""
        for kept in self._kept.values():
            os.close(kept.descriptor)

    def _find(self, path: bytes) -> Content:
        while self._tree is None:
            try:
                return self._reach.find(path)
            except Unclear as unclear:
                if unclear.odd:
                    self._tree = read_whole(self._image, self._events).tree()
                else:
                    self._look(b"/".join(part for part in path.split(b"/") if part))
        node = self._tree.resolve(path)
        if node is None or node.now is None:
            raise PathNotFound(f"no such path in the image: {shown(path)}")
        return content_of(path, node.now)

    def _look(self, wanted: bytes) -> None:
        """Look at one layer more; what it has by the name `wanted` is kept."""
        number = self._reach.next
        layer = self._image.layers[number]
        name = (layer.blob.digest if layer.blob is not None else layer.diff_id).short
        self._events(LayerProgress(name, "reading", 0, 0))
        found = records(self._keeping(verified_segments(layer), number, wanted))
        self._reach.add(self._memory.bounded(found))
        self._events(LayerProgress(name, "read", 0, 0))

    def _keeping(
        self, segments: Iterator[Segment], number: int, wanted: bytes
    ) -> Iterator[Segment]:
        for segment in segments:
            entry = segment.entry
            if entry is not None and entry.kind == FILE and entry.stored and entry.name == wanted:
                yield segment._replace(body=self._keep(number, wanted, segment.body))
            else:
                yield segment

    def _keep(self, number: int, name: bytes, body: Body) -> "_Kept":
        before = self._kept.pop((number, name), None)
        if before is not None:
            os.close(before.descriptor)
        kept = self._kept[number, name] = _Kept(number, body, self._scratch())
        return kept

    def _fetched(self, wanted: Content) -> "_Kept":
        """Read the one layer that has the body, as far as that."""
        layer = self._image.layers[wanted.layer]
        with closing(verified_segments(layer)) as segments:
            for segment in segments:
                entry = segment.entry
                if entry is None or entry.kind != FILE or not entry.stored:
                    continue
                if (entry.size, entry.sparse) == (wanted.size, wanted.sparse):
                    kept = self._keep(wanted.layer, b"", segment.body)
                    while kept.read(_CHUNK):
                        pass
                    if kept.holds(wanted):
                        return kept
        raise DigestMismatch("a layer is another than it was a moment ago")


class _Kept:
    """A body that is kept as it passes: its stored bytes one after the other."""

    def __init__(self, layer: int, body: Body, descriptor: int) -> None:
        self._layer = layer
        self._body = body
        self._hash = hashlib.sha256()
        self.descriptor = descriptor

    def read(self, size: int, /) -> Piece:
        """Up to `size` bytes, none at the end."""
        data = self._body.read(size)
        self._hash.update(data)
        try:
            write_all(self.descriptor, bytes(data))
        except OSError as error:
            raise from_oserror(error, "keeping", "a file of the image") from error
        return data

    def holds(self, wanted: Content) -> bool:
        """Whether this is the body that was asked for."""
        return (self._layer, self._hash.digest()) == (wanted.layer, wanted.digest)


def _give(descriptor: int, found: Content, out: Write) -> None:
    """Give out a file, its holes as zeros."""
    whole = ((0, found.size),) if found.size else ()
    at = place = 0
    for offset, length in found.sparse if found.sparse is not None else whole:
        _zeros(offset - at, out)
        at = offset + length
        for start in range(place, place + length, _CHUNK):
            out(os.pread(descriptor, min(_CHUNK, place + length - start), start))
        place += length
    _zeros(found.size - at, out)


def _zeros(count: int, out: Write) -> None:
    while count:
        out(_ZEROS[: min(count, _CHUNK)])
        count -= min(count, _CHUNK)
