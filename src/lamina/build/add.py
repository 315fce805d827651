"""ADD of local files: archives, told by their content, are unpacked into the destination.

An archive laid onto `/` as it is becomes the layer without being written anew; otherwise its
members pass with new names, owners and times. Members' own parents are implied or lie below,
as with `tar -x`. Names that begin with `.wh.` cannot be files of a layer and are refused.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator

from lamina.archive.compress import Decompressed, detect, open_decompressed
from lamina.archive.entry import (
    DIR,
    FILE,
    HARDLINK,
    Body,
    Entry,
    Held,
    Opener,
    Piece,
    Segment,
    Watched,
)
from lamina.archive.header import BLOCK, is_header
from lamina.archive.reader import read
from lamina.archive.writer import FileBody, head
from lamina.build import copy
from lamina.build.copy import Destination, Manner
from lamina.build.filereading import attributes, require_bytes
from lamina.build.selection import Node, Selected
from lamina.build.sources import SourceTree
from lamina.errors import BadArchive, BuildError, UnknownCompression
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView
from lamina.values.digest import DiffID

_CHUNK = 1 << 20
_END = bytes(2 * BLOCK)


def is_archive(tree: SourceTree, source: Selected) -> bool:
    """Whether a source is a tar, plain or compressed, by content and never by name."""
    node = source.top
    if (node.path is None and node.fetched is None) or not node.status.is_file:
        return False
    with _File(tree, node) as file:
        start = file.read(BLOCK)
    try:
        if detect(start) == "none":
            return is_header(start)
        with _File(tree, node) as file, open_decompressed(file) as plain:
            return is_header(_block(plain))
    except UnknownCompression:
        return False
    except BadArchive:
        return False  # compressed and broken from its very beginning: copied as it is


def _block(plain: Decompressed) -> bytes:
    block = b""
    while len(block) < BLOCK and (data := plain.read(BLOCK - len(block))):
        block += data
    return block


class _File:
    """A selected file as a stream; a context manager."""

    def __init__(self, tree: SourceTree, node: Node) -> None:
        self._tree = tree
        self._node = node
        self._digest = hashlib.sha256()
        self._descriptor = copy.open_node(tree, node)

    def read(self, size: int, /) -> bytes:
        data = os.read(self._descriptor, size)
        self._digest.update(data)
        return data

    def finish(self) -> None:
        """Read what is left; raises `BuildError` when all of it is not what was digested."""
        while self.read(_CHUNK):
            pass
        require_bytes(self._node, attributes(self._tree, self._node), self._digest.digest())

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._descriptor)


class WholeArchive:
    """A layer source: one archive onto the root, byte for byte, hashed as it is inflated.

    What is being `unpacked` is known by its path.
    """

    def __init__(self, tree: SourceTree, source: Selected) -> None:
        self._tree = tree
        self._node = _seen(source)
        self._digest = hashlib.sha256()
        self.unpacked = _title(self._node)

    def segments(self) -> Generator[Segment, None, None]:
        """The archive's members as they pass; raises `BadArchive` or `BuildError`."""
        with _File(self._tree, self._node) as file:
            with open_decompressed(file, self._digest.update) as plain:
                for segment in read(plain):
                    if segment.entry is not None:
                        copy.refuse_whiteout(segment.entry.name)
                    yield segment
                plain.drain()
            file.finish()

    def diff_id(self) -> DiffID:
        """The digest of the archive's plain bytes."""
        return DiffID("sha256:" + self._digest.hexdigest())


class Rewritten:
    """A layer source: files and archives in the order they are named, as one new tar.

    What is being `unpacked`, or was last, is known by its path.
    """

    def __init__(
        self,
        tree: SourceTree,
        view: TreeView,
        selected: list[Selected],
        to: Destination,
        manner: Manner,
        *,
        archives: frozenset[int],
    ) -> None:
        self._tree = tree
        self._view = view
        self._selected = selected
        self._archives = archives
        self._to = to
        self._manner = manner
        self._digest = hashlib.sha256()
        self.unpacked = ""

    def diff_id(self) -> DiffID:
        """The digest of the tar that the members made."""
        return DiffID("sha256:" + self._digest.hexdigest())

    def segments(self) -> Generator[Segment, None, None]:
        """The members of the new tar; raises `BadArchive`, `BuildError` or a `StorageError`."""
        offset, padding = 0, b""
        for entry, body in self._members():
            copy.refuse_whiteout(entry.name)
            raw = padding + head(entry)
            self._digest.update(raw)
            tapped = _Tapped(entry, body, self._digest.update)
            yield Segment(entry, raw, offset, tapped)
            tapped.finish()
            padding = bytes(-entry.stored % BLOCK)
            offset += len(raw) + entry.stored
        self._digest.update(padding + _END)
        yield Segment(None, padding + _END, offset, _Nothing())

    def _members(self) -> Iterator[tuple[Entry, Body]]:
        plain: list[Selected] = []
        for parent in self._parents():
            yield parent, _Nothing()
        for index, source in enumerate(self._selected):
            if index not in self._archives:
                plain.append(source)
                continue
            yield from self._files(plain)
            plain = []
            yield from self._unpacked(_seen(source))
        yield from self._files(plain)

    def _parents(self) -> Iterator[Entry]:
        """The destination itself and what leads there: every archive merges into it."""
        parts = self._to.path.split(b"/") if self._to.path else []
        for end in range(1, len(parts) + 1):
            yield copy.parent_entry(self._view, b"/".join(parts[:end]), self._manner)[1]

    def _files(self, selected: list[Selected]) -> Iterator[tuple[Entry, Body]]:
        known = {parent.name for parent in self._parents()}
        stream = copy.entries(self._tree, self._view, selected, self._to, self._manner)
        for entry, content in stream:
            if isinstance(content, Held):
                yield entry, content
            elif content is not None:
                yield from _passed(entry, content)
            elif entry.kind != DIR or entry.name not in known:
                yield entry, _Nothing()

    def _unpacked(self, node: Node) -> Iterator[tuple[Entry, Body]]:
        self.unpacked = _title(node)
        with _File(self._tree, node) as file:
            with open_decompressed(file) as plain:
                for segment in read(plain):
                    if segment.entry is None:
                        continue
                    entry = self._moved(segment.entry)
                    if entry.name:
                        yield _dense(entry, segment.body)
                    elif segment.entry.kind == DIR:
                        yield entry, _Nothing()
            file.finish()

    def _moved(self, entry: Entry) -> Entry:
        prefix = self._to.path + b"/" if self._to.path else b""
        uid, gid = self._manner.owner or (entry.uid, entry.gid)
        return entry._replace(
            name=(prefix + entry.name).rstrip(b"/"),
            link=prefix + entry.link if entry.kind == HARDLINK else entry.link,
            uid=uid,
            gid=gid,
            mtime_ns=self._manner.time(entry.mtime_ns),
        )


def _seen(source: Selected) -> Node:
    """A single file as it was digested."""
    return next(source.nodes())


def _title(node: Node) -> str:
    return os.fsdecode(node.path or node.name)


def _passed(entry: Entry, content: Opener | Watched) -> Iterator[tuple[Entry, Body]]:
    """An entry with its content as a body, which must be what was digested."""
    body = FileBody(entry, content, _ignore)
    try:
        yield entry, body
        body.finish()
    finally:
        body.close()


def _ignore(_data: bytes) -> None:
    pass


def _dense(entry: Entry, body: Body) -> tuple[Entry, Body]:
    """A sparse member as a plain one: the new tar says nothing of holes."""
    if entry.kind != FILE or entry.sparse is None:
        return entry, body
    return entry._replace(sparse=None), _Filled(body, entry)


class _Nothing:
    """The body of what has none."""

    def read(self, size: int, /) -> bytes:
        return b""


class _Filled:
    """The body of a sparse member with its holes as zeros."""

    def __init__(self, body: Body, entry: Entry) -> None:
        self._pieces = self._all(body, entry)
        self._rest: Piece = b""

    @staticmethod
    def _all(body: Body, entry: Entry) -> Iterator[Piece]:
        at = 0
        for offset, length in (*(entry.sparse or ()), (entry.size, 0)):
            yield from _zeros(offset - at)
            left = length
            while left and (data := body.read(min(left, _CHUNK))):
                left -= len(data)
                yield data
            at = offset + length

    def read(self, size: int, /) -> Piece:
        data = self._rest or next(self._pieces, b"")
        self._rest = data[size:]
        return data[:size]


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, _CHUNK))
        count -= _CHUNK


class _Tapped:
    """Exactly the bytes that an entry's header promises, digested as they are read."""

    def __init__(self, entry: Entry, body: Body, tap: Callable[[Piece], object]) -> None:
        self._entry = entry
        self._left = entry.stored
        self._body = body
        self._tap = tap

    def read(self, size: int, /) -> Piece:
        if not self._left:
            return b""
        data = self._body.read(min(size, self._left))
        if not data:
            raise BuildError(f"{shown(self._entry.name)} became shorter while it was read")
        self._left -= len(data)
        self._tap(data)
        return data

    def finish(self) -> None:
        while self.read(_CHUNK):
            pass
