"""A layer's tar, bit for bit as it came: the index's headers around the driver's files, or the
tar itself where the driver keeps it.
"""

import hashlib
import os

from lamina.archive.entry import Write
from lamina.archive.index import IndexReader
from lamina.archive.reassembly import reassemble
from lamina.drivers.api import Driver, ExactTar
from lamina.errors import StoreDamaged
from lamina.layers import indexes
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot

_CHUNK = 1 << 20


def export(root: StoreRoot, driver: Driver, row: LayerRow, write: Write) -> None:
    """Write the tar of `row` piece by piece.

    Raises `StoreDamaged` when the bytes are not those of its diff ID.
    """
    assert row.diff_id is not None
    digest = hashlib.sha256()

    def tap(data: bytes) -> object:
        digest.update(data)
        return write(data)

    write_tar(root, driver, row, tap)
    if digest.hexdigest() != row.diff_id.hex:
        raise StoreDamaged(
            f"the files of layer {row.id.short} are no longer those of {row.diff_id}",
            hint="run `lamina check`",
        )


def write_tar(root: StoreRoot, driver: Driver, row: LayerRow, write: Write) -> None:
    """The same for those who compare the digest themselves."""
    if isinstance(driver, ExactTar):
        _read_back(driver, row, write)
    else:
        _put_together(root, driver, row, write)


def _read_back(driver: ExactTar, row: LayerRow, write: Write) -> None:
    descriptor = driver.open_tar(row.id)
    try:
        while data := os.read(descriptor, _CHUNK):
            write(data)
    finally:
        os.close(descriptor)


def _put_together(root: StoreRoot, driver: Driver, row: LayerRow, write: Write) -> None:
    own = driver.own_tree(row.id)
    merged = driver.view(row.id)
    try:
        with IndexReader(indexes.path(root, row)) as reader:
            reassemble(reader, own, merged, write)
    finally:
        own.close()
        merged.close()


def tar_size(root: StoreRoot, row: LayerRow) -> int:
    """How many bytes the tar of `row` has, told by its index alone."""
    with IndexReader(indexes.path(root, row)) as reader:
        return sum(len(record.raw) + record.entry().stored for record in reader.records())
