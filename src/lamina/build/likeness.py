"""Whether a layer that is here holds the same files as one that would be made now."""

import hashlib
import os
from collections.abc import Iterable
from itertools import zip_longest

from lamina.archive.entry import FILE, Content, Entry, EntryStream, Held, Watched
from lamina.archive.index import Record


def is_the_same(entries: EntryStream, records: Iterable[Record]) -> bool:
    """Whether a layer has just these members with just this content; their times do not count."""
    members = (record for record in records if record.kind)
    return all(
        made is not None and record is not None and _is_member(made[0], made[1], record)
        for made, record in zip_longest(entries, members)
    )


def _is_member(entry: Entry, content: Content | None, record: Record) -> bool:
    if entry._replace(mtime_ns=0) != record.entry()._replace(mtime_ns=0):
        return False
    return entry.kind != FILE or content is None or _digest(content) == record.digest


def _digest(content: Content) -> bytes:
    if isinstance(content, Held):
        return content.digest
    descriptor = content.open() if isinstance(content, Watched) else content()
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
