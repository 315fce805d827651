"""A layer that stands on an earlier version of itself, so that only what differs is written.

A step that copied a hundred thousand files of which one changed gives a tar that is almost the
same. All of it is hashed and indexed like any other; but the driver makes the new layer over the
old one and is given only the members that are new or changed, and whiteouts for those that have
gone. The chain leads past the old layer, which lives as long as a version stands on it
(docs/adr/0020).

    entries -> with what the old tar has of them -> tar, index -> what differs -> driver

Refuses (`Unlike`) what would be no gain, and what only a layer over the common ground can say.
Knows no context and no cache; does not decide which layer is an earlier version of which.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from lamina.archive.entry import (
    DIR,
    FILE,
    HARDLINK,
    Content,
    Entry,
    EntryStream,
    Held,
    Known,
    MemberStream,
    Segment,
    Watched,
    in_order,
)
from lamina.archive.index import Frame, IndexReader, IndexWriter, Record, indexed
from lamina.archive.results import Figures
from lamina.archive.whiteout import PREFIX, marker
from lamina.drivers.api import Driver, KeepsChanges
from lamina.errors import StoreDamaged
from lamina.fs.tree import TreeView
from lamina.layers import indexes
from lamina.metadata import layers
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID

LEAST = 1000  # members, below which a version is made as quickly by itself
PART = 4  # one in so many members, or bytes, may differ: the old ones are kept beside the new
_BLOCK = 512
_CHUNK = 1 << 20


class Unlike(Exception):
    """The new layer is to be made without the old one; nothing is wrong."""


@contextmanager
def of(
    root: StoreRoot, driver: Driver, parent: LayerRow | None, chain: ChainID
) -> "Iterator[Version | None]":
    """A version of the layer on top of `chain` over the same parent; None where it is no gain.

    Whoever calls holds the chain.
    """
    base = _base(root, driver, parent, chain)
    try:
        index = IndexReader(indexes.path(root, base)) if base is not None else None
    except StoreDamaged:  # `check` tells of it; a copy does not need it
        index = None
    if base is None or index is None:
        yield None
        return
    view = driver.view(parent.id) if parent is not None else None
    try:
        with closing(index):
            yield Version(base, index, view)
    finally:
        if view is not None:
            view.close()


def _base(
    root: StoreRoot, driver: Driver, parent: LayerRow | None, chain: ChainID
) -> LayerRow | None:
    """The layer to stand on: of several versions the first, so that there are never more than two
    upon each other.
    """
    if not isinstance(driver, KeepsChanges):
        return None
    with root.database.read() as db:
        row = layers.by_chain(db, chain)
        if row is None or row.driver != driver.name:
            return None
        if row.below != (parent.id if parent is not None else None):
            return None
        if row.parent is not None and row.parent != row.below:
            row = layers.by_id(db, row.parent)
    return row if row.entries >= LEAST else None


class Version:
    """What the members of a new layer are beside those of `base`; for one pass over them.

    `below` is the tree that both are laid over.
    """

    def __init__(self, base: LayerRow, index: IndexReader, below: TreeView | None) -> None:
        self.base = base
        self._below = below
        self._old = _Members(index.frames())
        self._left = int(base.entries / PART)
        self._left_bytes = int(base.size / PART)
        self._same: tuple[Entry, Record, Frame] | None = None  # the latest that is the very same
        self._gone: list[bytes] = []
        self._size = self._entries = 0

    def entries(self, entries: EntryStream) -> MemberStream:
        """The entries, in the canonical order; those that the old tar has are `Known`.

        Raises `Unlike`.
        """
        old = self._old
        old.advance()
        for entry, content in entries:
            if entry.kind == HARDLINK:
                raise Unlike
            self._entries += 1
            self._size += entry.size
            if old.record is None or old.record.name != entry.name:
                self._go_until(in_order(entry.name))
            record = old.record
            if record is not None and record.name != entry.name:
                record = None
            if record is not None and _is_same(entry, content, record):
                known = Known(old.head, content)
                self._same = (entry, record, old.frame)
                old.advance()
                yield entry, known
                continue
            if record is not None:
                self._is_replaced(record, entry)
            self._spend(0)
            yield entry, content
        while old.record is not None:
            self._goes(old.record)

    def _go_until(self, key: bytes) -> None:
        """What comes before `key` in the canonical order is there no more."""
        while self._old.record is not None and self._old.key < key:
            self._goes(self._old.record)

    def _is_replaced(self, record: Record, entry: Entry) -> None:
        """Another file, or a directory with other metadata, comes in the place of a member."""
        if record.kind != entry.kind:
            self._require_nothing_below(record)
        self._spend(record.size)
        self._old.advance()
        if record.kind == DIR and entry.kind != DIR:
            self._skip_inside(record.name)

    def _goes(self, record: Record) -> None:
        """A member is there no more, and nothing that was in it."""
        self._require_nothing_below(record)
        self._spend(record.size)
        self._gone.append(record.name)
        self._old.advance()
        if record.kind == DIR:
            self._skip_inside(record.name)

    def _skip_inside(self, folder: bytes) -> None:
        """Go on to the next member that is not in the directory of that name, which has gone."""
        inside = folder + b"/"
        while (record := self._old.record) is not None and record.name.startswith(inside):
            self._spend(record.size)
            self._old.advance()

    def _require_nothing_below(self, record: Record) -> None:
        """What the old layer hides cannot be shown again by one above it."""
        if self._below is not None and self._below.lstat(record.name) is not None:
            raise Unlike

    def _spend(self, size: int) -> None:
        self._left -= 1
        self._left_bytes -= size
        if self._left < 0 or self._left_bytes < 0:
            raise Unlike

    def differing(self, segments: Iterable[Segment], writer: IndexWriter) -> Iterator[Segment]:
        """Of the segments that `entries` became, what is to be applied over the old layer.

        All are noted in `writer`.
        """
        for segment in segments:
            if self._same is not None and segment.entry is self._same[0]:
                _, record, frame = self._same
                if not isinstance(segment.body, Held):  # which has passed already
                    while segment.body.read(_CHUNK):
                        pass
                writer.repeat(record, frame, segment)
                continue
            if self._gone:
                gone, self._gone = self._gone, []
                yield from map(_whiteout, gone)
            yield from indexed((segment,), writer)

    @property
    def figures(self) -> Figures:
        """What the whole layer brings, once all entries have passed."""
        return Figures(self._size, self._entries, 0)


class _Members:
    """The members of an index in order: `record` is the present one, None before and after all.

    `key` is its place in the canonical order, `head` its header blocks in the tar, `frame` what it
    is packed in.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._records: Iterator[Record] = iter(())
        self.frame = Frame(b"", ())
        self._padding = 0  # bytes that the body of the member before leaves of its last block
        self.record: Record | None = None
        self.key = self.head = b""

    def advance(self) -> None:
        """Go on to the next member; raises `Unlike` for one that no version can stand on."""
        record, before = self._read(), self.key
        self.record = record
        self.key = in_order(record.name) if record is not None else b""
        if record is None:
            return
        if record.kind == HARDLINK or PREFIX in record.name or self.key <= before:
            raise Unlike

    def _read(self) -> Record | None:
        record = next(self._records, None)
        if record is None and (record := self._next_frame()) is None:
            return None
        if not record.kind:
            return None
        self.head = record.raw[self._padding :]
        stored = record.size if record.sparse is None else record.entry().stored
        self._padding = -stored % _BLOCK if record.kind == FILE else 0
        return record

    def _next_frame(self) -> Record | None:
        """Go on to the next frame's first record."""
        try:
            frame = next(self._frames, None)
        except StoreDamaged:
            raise Unlike from None
        if frame is None:
            return None
        self.frame = frame
        self._records = iter(frame.records)
        return next(self._records)


def _is_same(entry: Entry, content: Content | None, record: Record) -> bool:
    """Whether a member is the very same: all that its header says, and its bytes."""
    return (
        entry.mtime_ns == record.mtime_ns
        and entry.size == record.size
        and entry.kind == record.kind
        and entry.mode == record.mode
        and entry.uid == record.uid
        and entry.gid == record.gid
        and entry.link == record.link
        and entry.xattrs == record.xattrs
        and entry.devmajor == record.devmajor
        and entry.devminor == record.devminor
        and entry.sparse == record.sparse
        and (content is None or _digest(content) == record.digest)
    )


def _digest(content: Content) -> bytes:
    return content.digest if isinstance(content, Held | Watched) else b""


def _whiteout(name: bytes) -> Segment:
    return Segment(Entry(marker(name), FILE, 0), b"", 0, Held(b"", b""))
