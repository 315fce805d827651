"""A layer's tar, bit for bit as it came: the index's headers around the driver's files."""

import hashlib

from lamina.archive.entry import Write
from lamina.archive.index import IndexReader, reassemble
from lamina.drivers.api import Driver
from lamina.errors import StoreDamaged
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot


def export(root: StoreRoot, driver: Driver, row: LayerRow, write: Write) -> None:
    """Write the tar of `row` piece by piece.

    Raises `StoreDamaged` when the bytes are not those of its diff ID.
    """
    assert row.diff_id is not None
    digest = hashlib.sha256()

    def tap(data: bytes) -> object:
        digest.update(data)
        return write(data)

    own = driver.own_tree(row.id)
    merged = driver.view(row.id)
    try:
        with IndexReader(root.folder("index", row.diff_id.hex)) as reader:
            reassemble(reader, own, merged, tap)
    finally:
        own.close()
        merged.close()
    if digest.hexdigest() != row.diff_id.hex:
        raise StoreDamaged(
            f"the files of layer {row.id.short} are no longer those of {row.diff_id}",
            hint="run `lamina check`",
        )


def tar_size(root: StoreRoot, row: LayerRow) -> int:
    """How many bytes the tar of `row` has, told by its index alone."""
    assert row.diff_id is not None
    with IndexReader(root.folder("index", row.diff_id.hex)) as reader:
        return sum(len(record.raw) + record.entry().stored for record in reader.records())
