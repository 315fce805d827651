"""Where a new layer's members come from: a tar that is read, or entries that become one.

Either way the same segments reach the driver, and once they are exhausted the diff ID of the
very bytes that passed is known.
"""

import hashlib
from collections.abc import Callable, Generator

from lamina.archive.compress import open_decompressed
from lamina.archive.entry import EntryStream, MemberStream, Segment
from lamina.archive.reader import read
from lamina.archive.writer import segments
from lamina.layers.kinds import ReadableStream
from lamina.values.digest import DiffID


class TarSource:
    """A layer that comes as a tar, compressed or not; inflated and hashed on its own thread."""

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def segments(self) -> Generator[Segment, None, None]:
        """The tar's members, as they pass."""
        with open_decompressed(self._stream, self._digest.update) as plain:
            yield from read(plain)
            plain.drain()

    def diff_id(self) -> DiffID:
        """The digest of every plain byte that was read."""
        return DiffID("sha256:" + self._digest.hexdigest())


class EntrySource:
    """A layer that is made of entries; the tar exists only as what is hashed and indexed.

    `tell` gives the entries with what is known of them already.
    """

    def __init__(
        self, entries: EntryStream, tell: Callable[[EntryStream], MemberStream] = iter
    ) -> None:
        self.entries = entries
        self._tell = tell
        self._digest = hashlib.sha256()

    def segments(self) -> Generator[Segment, None, None]:
        """The entries as members of the deterministic tar they make."""
        return segments(self._tell(self.entries), self._digest.update)

    def diff_id(self) -> DiffID:
        """The digest of the tar that the entries make."""
        return DiffID("sha256:" + self._digest.hexdigest())
