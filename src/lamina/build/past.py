"""Images whose history and layers answer for steps, as docker's classic `--cache-from` has it.

An image answers for a step when its layers begin with those that the step stands on, its history
with the lines that led there, and the next line is the step's. A copy's line does not tell what was
copied: its layer must hold the same files, whatever their times.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from lamina.archive.entry import FILE, Content, Entry, EntryStream, Held
from lamina.build.record import Record
from lamina.spec.imageconfig import ImageConfig, parse_time
from lamina.values.digest import ChainID, chain_ids

if TYPE_CHECKING:  # only a copy that such an image answers for reads an index
    from lamina.archive.index import Record as IndexRecord


class Ancestor(NamedTuple):
    """An image of the store that may answer, and what people call it."""

    title: str
    config: ImageConfig


class Past(NamedTuple):
    """The lines of history that led to a step, and the line of the step itself."""

    lines: tuple[str, ...]
    text: str


def found(ancestors: Sequence[Ancestor], past: Past, parent: ChainID | None) -> Iterator[Record]:
    """What the images say that the step led to, the first of them first."""
    for each in ancestors:
        record = _answer(each, past, parent)
        if record is not None:
            yield record


def _answer(ancestor: Ancestor, past: Past, parent: ChainID | None) -> Record | None:
    history = ancestor.config.history
    before = len(past.lines)
    if tuple(line.created_by for line in history[: before + 1]) != (*past.lines, past.text):
        return None
    chains = (None, *chain_ids(ancestor.config.diff_ids))
    below = sum(not line.empty_layer for line in history[:before])
    above = below + (not history[before].empty_layer)
    if above >= len(chains) or chains[below] != parent:
        return None
    created = parse_time(history[before].created)
    return Record(chains[above], "{}", created, ancestor.title)


def is_the_same(entries: EntryStream, records: "Iterable[IndexRecord]") -> bool:
    """Whether a layer has just these members with just this content; their times do not count."""
    members = (record for record in records if record.kind)
    return all(
        made is not None and record is not None and _is_member(made[0], made[1], record)
        for made, record in zip_longest(entries, members)
    )


def _is_member(entry: Entry, content: Content | None, record: "IndexRecord") -> bool:
    if entry._replace(mtime_ns=0) != record.entry()._replace(mtime_ns=0):
        return False
    return entry.kind != FILE or content is None or _digest(content) == record.digest


def _digest(content: Content) -> bytes:
    if isinstance(content, Held):
        return content.digest
    descriptor = content()
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
