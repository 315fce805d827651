"""The tar that a layer came as, made again from its index and the layer's own files.

Every byte is the old one or an error: headers stand in the index, bodies are held against the
digests there. Knows trees; knows no store and no driver.
"""

import errno
import hashlib
import os

from lamina.archive.entry import FILE, Entry, Write
from lamina.archive.index import IndexReader, Record
from lamina.errors import StoreDamaged, from_oserror
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView

_CHUNK = 1 << 20


def reassemble(reader: IndexReader, own: TreeView, merged: TreeView, write: Write) -> None:
    """Write the tar that the index was made from, with the bodies from the layer's files.

    `own` is what the layer itself stores, `merged` the tree with all below it. Raises
    `StoreDamaged` naming the file whose bytes are not those of the tar.
    """
    for number, record in enumerate(reader.records()):
        write(record.raw)
        entry = record.entry()
        if entry.kind != FILE or not entry.stored:
            continue
        salvaged = reader.salvaged(number)
        if salvaged is not None:
            _copy_body(salvaged[0], entry, record.digest, write, salvaged[1])
            continue
        descriptor = _open_body(record, own, merged)
        try:
            _copy_body(descriptor, entry, record.digest, write, 0)
        finally:
            os.close(descriptor)


def _open_body(record: Record, own: TreeView, merged: TreeView) -> int:
    """The file of a record: where it was placed, by its name, or through links below."""
    tried = [record.place] if record.place is not None else []
    tried.append(record.name)
    for path in tried:
        try:
            return own.open(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise from_oserror(error, "reading", shown(path)) from error
    try:
        return merged.open(merged.resolve(record.name, follow_last=False))
    except OSError as error:
        raise StoreDamaged(f"the file {shown(record.name)} of a layer is gone") from error


def _copy_body(descriptor: int, entry: Entry, digest: bytes, write: Write, base: int) -> None:
    hashed = hashlib.sha256()
    for offset, length in entry.sparse or ((0, entry.size),):
        at, end = base + offset, base + offset + length
        while at < end:
            try:
                data = os.pread(descriptor, min(_CHUNK, end - at), at)
            except OSError as error:
                raise from_oserror(error, "reading", shown(entry.name)) from error
            if not data:
                break
            hashed.update(data)
            write(data)
            at += len(data)
    if hashed.digest() != digest:
        raise StoreDamaged(
            f"the file {shown(entry.name)} of a layer was changed", hint="run `lamina check`"
        )
