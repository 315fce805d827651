"""One member of a layer tar as a value, and the raw bytes it came in."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

FILE = "file"
DIR = "dir"
SYMLINK = "symlink"
HARDLINK = "hardlink"
CHAR = "char"
BLOCK = "block"
FIFO = "fifo"

Regions = tuple[tuple[int, int], ...]


class Entry(NamedTuple):
    """A member. `name` is relative to the root (`b""` is the root itself), cleaned.

    `size` is that of the file in bytes, holes included; `link` a symbolic link's target as it
    stands, or a hard link's cleaned name; `sparse` the stored (offset, length) regions of a
    file with holes. A whiteout is a FILE whose last component begins with `.wh.`.
    """

    name: bytes
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    devmajor: int = 0
    devminor: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    sparse: Regions | None = None

    @property
    def stored(self) -> int:
        """How many bytes of body follow the header."""
        if self.kind != FILE:
            return 0
        if self.sparse is None:
            return self.size
        return sum(length for _, length in self.sparse)


Piece = bytes | memoryview
"""Some bytes of a body: a view where nobody needs a copy."""


class Body(Protocol):
    """The stored bytes of one member, once; what is not read is passed over."""

    def read(self, size: int, /) -> Piece:
        """Up to `size` bytes; none at the end. Raises `BadArchive` when cut off."""


class Held:
    """The whole content of a small file, in memory, and its SHA-256; a body of its own."""

    __slots__ = ("_left", "data", "digest")

    def __init__(self, data: bytes, digest: bytes) -> None:
        self.data = self._left = data
        self.digest = digest

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        left = self._left
        if len(left) <= size:
            self._left = b""
            return left
        self._left = left[size:]
        return left[:size]


Write = Callable[[bytes], object]
"""Takes bytes, all of them, in order."""

Opener = Callable[[], int]
"""Gives a descriptor for reading a file's content; whoever calls closes it."""


class Watched(NamedTuple):
    """A way to a file's content; `passed` is told the SHA-256 of all of it, and may raise.

    It raises unless that is `digest`, where this is not empty.
    """

    open: Opener
    passed: Callable[[bytes], None]
    digest: bytes = b""


Content = Opener | Watched | Held
"""Where a file's content comes from, once."""


EntryStream = Iterator[tuple[Entry, Content | None]]
"""Entries in order, each regular file with its content."""


class Known(NamedTuple):
    """The content of an entry that another tar has, too, and that tar's header blocks of it."""

    head: bytes
    content: Content | None


MemberStream = Iterator[tuple[Entry, Content | Known | None]]
"""The same, with what is known already of some."""


def in_order(path: bytes) -> bytes:
    """The key of the canonical order: by components, each bytewise."""
    return path.replace(b"/", b"\0")


class Segment(NamedTuple):
    """A member as it passes: `raw` holds all bytes since the last body (padding and headers).

    `offset` is where `raw` begins in the tar. A segment without an entry is a piece of what
    follows the last member. The body must be read before the next segment is asked for.
    """

    entry: Entry | None
    raw: bytes
    offset: int
    body: Body
