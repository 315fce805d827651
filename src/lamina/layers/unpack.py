"""From segments to a layer in place: extract, index, verify, publish; in one pass.

Nothing is visible before the last transaction, and whatever fails before it is undone here; a
kill is undone by recovery, which finds the staging row.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple

from lamina.archive.entry import Segment
from lamina.archive.index import IndexWriter, indexed
from lamina.archive.results import Figures
from lamina.drivers.api import Driver, OnPlaced
from lamina.errors import DigestMismatch, LayerNotFound
from lamina.fs.faults import crash_point
from lamina.fs.writeback import Writeback
from lamina.layers import gc, indexes
from lamina.layers.kinds import Source
from lamina.layers.layer import Layer
from lamina.layers.versions import Unlike, Version
from lamina.metadata import layers, refs
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID

Apply = Callable[[Iterable[Segment], OnPlaced, int | None], Figures]
"""A driver's `apply` of one layer."""


class Filled(NamedTuple):
    """What is known of a layer once all of it has passed."""

    figures: Figures
    diff_id: DiffID
    written: int | None = None  # bytes, where that is not all


def register(
    root: StoreRoot,
    driver: Driver,
    parent: LayerRow | None,
    source: Source,
    expect: DiffID | None,
    *,
    durable: bool = True,
    version: Version | None = None,
) -> Layer:
    """Make the layer of `source` over `parent`; gives the known one if it turns out to be here.

    With a `version` (`source` has its entries) it stands on an earlier one of itself.
    With `durable` each row is on disk before what it names, which may outlive a power cut.
    Raises what `apply` raises, and `DigestMismatch`; nothing is left then.
    """
    base = version.base if version is not None else None
    (row,) = stage(root, driver, parent, 1, durable=durable, base=base)
    try:
        create(driver, row)
        apply = partial(driver.apply, row.id, row.parent)
        if version is not None:
            filled = _fill_version(root, row, source, version, apply)
        else:
            filled = fill(root, row, source, expect, driver.home, apply)
        driver.commit(row.id)
        known = publish(root, row, parent, filled, durable=durable)
    except BaseException:
        discard(root, driver, row.id)
        raise
    if known.id != row.id:
        discard(root, driver, row.id)
    return Layer.from_row(known)


def stage(
    root: StoreRoot,
    driver: Driver,
    parent: LayerRow | None,
    count: int,
    *,
    durable: bool,
    base: LayerRow | None = None,
) -> list[LayerRow]:
    """Write down that `count` layers are to come, each over the one before it.

    With a `base` it is one, which stands on that; raises `Unlike` when it has gone.
    """
    rows: list[LayerRow] = []
    with root.database.write(durable=durable) as db:
        if parent is not None and layers.by_id(db, parent.id).state != "ready":
            raise LayerNotFound(f"the layer below, {parent.id.short}, is being removed")
        if base is not None and not layers.is_ready(db, base.id):
            raise Unlike
        for _ in range(count):
            layer = LayerID.from_random(os.urandom(32))
            below = rows[-1] if rows else parent
            layers.stage(
                db,
                layer,
                driver=driver.name,
                kind="committed",
                below=below.id if below else None,
                version_of=base.id if base else None,
                lease=root.lease,
                created=time.time(),
                boot_id=root.boot_id,
            )
            rows.append(layers.by_id(db, layer))
    crash_point("layer-staged")
    return rows


def create(driver: Driver, row: LayerRow) -> None:
    """Make the driver's object of a staged row."""
    driver.create(row.id, row.parent)
    crash_point("layer-created")


def fill(
    root: StoreRoot,
    row: LayerRow,
    source: Source,
    expect: DiffID | None,
    home: str,
    apply: Apply,
) -> Filled:
    """Extract and index; raises what `apply` raises, and `DigestMismatch`."""
    with (
        IndexWriter(indexes.staged(root, row)) as writer,
        Writeback(home) as writeback,
        closing(source.segments()) as members,  # whatever reads ahead has ended when this fails
    ):
        segments = _watched(indexed(members, writer), writeback)
        figures = apply(segments, writer.placed, writer.salvage_fd)
        writer.finish()
    crash_point("layer-extracted")
    diff_id = source.diff_id()
    if expect is not None and diff_id != expect:
        raise DigestMismatch(f"the layer is {diff_id}, not {expect} as was promised")
    return Filled(figures, diff_id)


def _fill_version(
    root: StoreRoot, row: LayerRow, source: Source, version: Version, apply: Apply
) -> Filled:
    """Index all, and extract what differs from what the layer stands on; raises `Unlike`, too."""
    with (
        IndexWriter(indexes.staged(root, row)) as writer,
        closing(source.segments()) as members,
    ):
        segments = version.differing(members, writer)
        written = apply(segments, writer.placed, writer.salvage_fd).size
        writer.finish()
    crash_point("version-extracted")
    return Filled(version.figures, source.diff_id(), written)


def _watched(segments: Iterable[Segment], writeback: Writeback) -> Iterator[Segment]:
    for segment in segments:
        yield segment
        writeback.passed(segment.offset)


def publish(
    root: StoreRoot, row: LayerRow, parent: LayerRow | None, filled: Filled, *, durable: bool
) -> LayerRow:
    """Make a filled layer visible, and this opener's; where it is here already, gives that one."""
    figures, diff_id, written = filled
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
                written=written,
            )
            known = layers.by_id(db, row.id)
    crash_point("layer-published")
    return known


def discard(root: StoreRoot, driver: Driver, layer: LayerID) -> None:
    """Undo a layer that is not to be; nothing where it was published before the error."""
    with root.database.read() as db:
        row = layers.by_id(db, layer)
    if row.state != "ready":  # else a reference decides
        gc.erase(root, driver, [row])  # its row is intent enough, and a full disk takes no other
