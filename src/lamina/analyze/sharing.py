"""Sharing between images, counted so that the parts add up to the whole. Pure.

A layer's bytes are counted once. They are *exclusive* to an image when no other image has the
layer, else *shared*. On a driver that copies parents (vfs) each layer also takes up all that is
below it; that figure is another one and is named so.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from lamina.values.digest import ChainID, ImageID


class Sized(Protocol):
    """A layer by its chain ID, and the bytes that it itself brings."""

    @property
    def chain_id(self) -> ChainID: ...

    @property
    def size(self) -> int: ...


class ImageChain(NamedTuple):
    """An image and its layers, lowest first.

    `pieces` are what it has on disk, where that is something else.
    """

    id: ImageID
    names: tuple[str, ...]
    layers: Sequence[Sized]
    pieces: Sequence[Sized] = ()

    @property
    def stored(self) -> Sequence[Sized]:
        """What of it lies on disk."""
        return self.pieces or self.layers


class ImageShare(NamedTuple):
    """How much of an image is its own; bytes."""

    id: ImageID
    shared: int
    exclusive: int


class Sharing(NamedTuple):
    """All images together. `asked` and `stored` count layers, the sizes are in bytes."""

    asked: int
    stored: int
    asked_bytes: int
    stored_bytes: int
    copied_bytes: int
    images: tuple[ImageShare, ...]

    @property
    def exclusive_bytes(self) -> int:
        """What one image alone has; with `shared_bytes` it adds up to `stored_bytes`."""
        return sum(image.exclusive for image in self.images)

    @property
    def shared_bytes(self) -> int:
        """What several images have, each layer counted once."""
        return self.stored_bytes - self.exclusive_bytes

    @property
    def saved_bytes(self) -> int:
        """What sharing saves."""
        return self.asked_bytes - self.stored_bytes


def sharing(images: Sequence[ImageChain]) -> Sharing:
    """Count who has what."""
    users: dict[ChainID, int] = {}
    layers: set[ChainID] = set()
    pieces: dict[ChainID, Sized] = {}
    copied = 0
    for image in images:
        below = 0
        for layer in image.layers:
            below += layer.size
            if layer.chain_id not in layers:
                copied += below
            layers.add(layer.chain_id)
        for piece in image.stored:
            pieces[piece.chain_id] = piece
            users[piece.chain_id] = users.get(piece.chain_id, 0) + 1
    return Sharing(
        sum(len(image.layers) for image in images),
        len(layers),
        sum(_size(image.layers) for image in images),
        _size(pieces.values()),
        copied,
        tuple(_share(image, users) for image in images),
    )


def _share(image: ImageChain, users: dict[ChainID, int]) -> ImageShare:
    shared = _size(piece for piece in image.stored if users[piece.chain_id] > 1)
    return ImageShare(image.id, shared, _size(image.stored) - shared)


def _size(layers: Iterable[Sized]) -> int:
    return sum(layer.size for layer in layers)
