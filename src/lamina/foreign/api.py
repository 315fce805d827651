"""What every foreign store gives: its images, ready to travel, and what its owner says of them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lamina.errors import InvalidReference
from lamina.images.api import TravellingImage
from lamina.values.reference import Reference


class ForeignImage(NamedTuple):
    """An image of another engine; `sizes` is what that engine says each layer holds, in bytes."""

    image: TravellingImage
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """What all its layers hold."""
        return sum(self.sizes)


class ForeignStore(Protocol):
    """A store of another engine; whoever opens it closes it."""

    @property
    def title(self) -> str:
        """Which engine's it is and on which of its drivers, for people."""

    def images(self) -> Iterator[ForeignImage]:
        """Every image that the engine itself would list, in no order.

        Raises `BadInput` for a document that is not what that engine writes, and
        `StorageError` in the kernel's words.
        """

    def close(self) -> None:
        """Let go of the directory."""


def tag(text: str) -> Reference | None:
    """A name with a tag; one by digest says nothing that the image does not."""
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return None
    return reference.with_default_tag() if reference.digest is None else None
