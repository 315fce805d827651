"""From segments to a layer in place: extract, index, verify, publish; in one pass.

Nothing is visible before the last transaction, and whatever fails before it is undone here; a
kill is undone by recovery, which finds the staging row.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

from lamina.archive.entry import Segment
from lamina.archive.index import IndexWriter, indexed
from lamina.archive.results import Figures
from lamina.drivers.api import Driver
from lamina.errors import DigestMismatch, LayerNotFound
from lamina.fs.faults import crash_point
from lamina.fs.writeback import Writeback
from lamina.layers import gc, indexes
from lamina.layers.kinds import Source
from lamina.layers.layer import Layer
from lamina.metadata import layers, refs
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID


def register(
    root: StoreRoot,
    driver: Driver,
    parent: LayerRow | None,
    source: Source,
    expect: DiffID | None,
    *,
    durable: bool = True,
) -> Layer:
    """Make the layer of `source` over `parent`; gives the known one if it turns out to be here.

    With `durable` each row is on disk before what it names, which may outlive a power cut.
    Raises what `apply` raises, and `DigestMismatch`; nothing is left then.
    """
    row = _stage(root, driver, parent, durable)
    try:
        figures, diff_id = _extract(root, driver, row, source)
        if expect is not None and diff_id != expect:
            raise DigestMismatch(f"the layer is {diff_id}, not {expect} as was promised")
        driver.commit(row.id)
        return _publish(root, driver, row, parent, diff_id, figures, durable)
    except BaseException:
        _discard(root, driver, row.id)
        raise


def _stage(root: StoreRoot, driver: Driver, parent: LayerRow | None, durable: bool) -> LayerRow:
    layer = LayerID.from_random(os.urandom(32))
    with root.database.write(durable=durable) as db:
        if parent is not None and layers.by_id(db, parent.id).state != "ready":
            raise LayerNotFound(f"the layer below, {parent.id.short}, is being removed")
        layers.stage(
            db,
            layer,
            driver=driver.name,
            kind="committed",
            parent=parent.id if parent else None,
            lease=root.lease,
            created=time.time(),
            boot_id=root.boot_id,
        )
        row = layers.by_id(db, layer)
    crash_point("layer-staged")
    return row


def _extract(
    root: StoreRoot, driver: Driver, row: LayerRow, source: Source
) -> tuple[Figures, DiffID]:
    driver.create(row.id, row.parent)
    crash_point("layer-created")
    with (
        IndexWriter(indexes.staged(root, row)) as writer,
        Writeback(driver.home) as writeback,
        closing(source.segments()) as members,  # whatever reads ahead has ended when this fails
    ):
        segments = _watched(indexed(members, writer), writeback)
        figures = driver.apply(row.id, row.parent, segments, writer.placed, writer.salvage_fd)
        writer.finish()
    crash_point("layer-extracted")
    return figures, source.diff_id()


def _watched(segments: Iterable[Segment], writeback: Writeback) -> Iterator[Segment]:
    for segment in segments:
        yield segment
        writeback.passed(segment.offset)


def _publish(
    root: StoreRoot,
    driver: Driver,
    row: LayerRow,
    parent: LayerRow | None,
    diff_id: DiffID,
    figures: Figures,
    durable: bool,
) -> Layer:
    chain_id = ChainID.extend(parent.chain_id if parent else None, diff_id)
    with root.database.write(durable=durable) as db:
        layers.note_diff(db, row.id, diff_id)
    crash_point("diff-noted")
    indexes.place(root, row, diff_id)
    crash_point("index-placed")
    with root.database.write() as db:
        refs.add(db, refs.LEASE, root.lease, chain_id)
        known = layers.by_chain(db, chain_id)
        if known is None:
            layers.publish(
                db,
                row.id,
                diff_id=diff_id,
                chain_id=chain_id,
                size=figures.size,
                entries=figures.entries,
            )
            known = layers.by_id(db, row.id)
    crash_point("layer-published")
    if known.id != row.id:
        _discard(root, driver, row.id)
    return Layer.from_row(known)


def _discard(root: StoreRoot, driver: Driver, layer: LayerID) -> None:
    with root.database.read() as db:
        row = layers.by_id(db, layer)
    if row.state != "ready":  # else it was published before the error; a reference decides
        gc.erase(root, driver, [row])  # its row is intent enough, and a full disk takes no other
