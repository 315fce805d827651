"""What a new layer can be made from, as protocols."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lamina.values.digest import DiffID

if TYPE_CHECKING:
    from lamina.archive.entry import Segment


class ReadableStream(Protocol):
    """Anything with `read(n)`: up to n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class Source(Protocol):
    """The members of one layer, once, and then its diff ID."""

    def segments(self) -> Generator["Segment", None, None]:
        """The members in order; to be exhausted."""

    def diff_id(self) -> DiffID:
        """The diff ID of what `segments` gave; only after it is exhausted."""


class Claim(Protocol):
    """That a stream gives certain bytes, said before it is read."""

    @property
    def name(self) -> str:
        """One word of ASCII; streams of equal names give equal bytes."""

    def holds(self) -> bool:
        """Whether the name is still true of what was read; asked at the end."""


class Coming(NamedTuple):
    """A layer that is to come: what it must be, and its tar, which may be opened more than once."""

    diff_id: DiffID
    open: Callable[[], AbstractContextManager[ReadableStream]]
