"""What a cache mount held, brought back from the tar that it travelled as.

The tar may be anybody's: it is confined as a layer is, bounded, and held against its digests; the
directory that it fills is seen by nobody until all of it was right. Knows no store.
"""

import os
from collections.abc import Iterator

from lamina.archive.apply import apply
from lamina.archive.entry import BLOCK, CHAR, Segment
from lamina.build.record import Blob, Filling
from lamina.build.stop import Stop
from lamina.errors import BadArchive, DigestMismatch, DiskFull, from_oserror
from lamina.layers.source import TarSource
from lamina.values.size import human

_MOST_MEMBERS = 4_000_000


def fill(root: int, filling: Filling, blob: Blob, stop: Stop) -> None:
    """Lay what a cache mount held into a directory, by descriptor.

    Raises `DiskFull` before anything is read where there is no room for it, `BadArchive` for a
    hostile or broken tar, `DigestMismatch`, `Stopped`, or what opening the blob raises.
    """
    _refuse_too_large(root, filling)
    try:
        with blob.open() as stream:
            source = TarSource(stream)
            apply(root, _believed(source.segments(), filling, stop))
    except OSError as error:
        raise from_oserror(error, "restoring the cache mount", filling.name.id) from error
    found = source.diff_id()
    if found != filling.diff_id:
        raise DigestMismatch(f"it is {found}, not {filling.diff_id} as was promised")


def _refuse_too_large(root: int, filling: Filling) -> None:
    room = os.fstatvfs(root)
    free = room.f_bavail * room.f_frsize
    if filling.size > free:
        raise DiskFull(f"it takes {human(filling.size)}, and {human(free)} are free")


def _believed(segments: Iterator[Segment], filling: Filling, stop: Stop) -> Iterator[Segment]:
    """The members of a tar that is no larger than it was said to be; devices are passed over."""
    for number, segment in enumerate(segments):
        stop.check()
        entry = segment.entry
        stored = entry.stored if entry is not None else 0
        if segment.offset + len(segment.raw) + stored > filling.size:
            raise BadArchive(f"it is larger than the {filling.size} bytes that were promised")
        if number > _MOST_MEMBERS:
            raise BadArchive(f"it has more than {_MOST_MEMBERS} members")
        if entry is None or entry.kind not in (CHAR, BLOCK):
            yield segment
