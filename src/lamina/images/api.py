"""What an image is while it travels: a config, layers that can be opened, names. Any form gives
this, and any sink takes it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import BlobDigest, DiffID
from lamina.values.reference import Reference


class ByteStream(Protocol):
    """Anything with `read(n)`: up to n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class TravellingLayer(NamedTuple):
    """One layer: `open` gives its tar, compressed or not, verified where a digest is known.

    `blob` is set when the bytes have a digest of their own that is worth keeping.
    """

    diff_id: DiffID
    open: Callable[[], AbstractContextManager[ByteStream]]
    blob: "BlobFacts | None"


class BlobFacts(NamedTuple):
    """The compressed layer as it came: digest, size in bytes and media type."""

    digest: BlobDigest
    size: int
    media_type: str


class TravellingImage(NamedTuple):
    """One image on its way; `manifest` is the document it came with and its media type."""

    config: ImageConfig
    layers: tuple[TravellingLayer, ...]
    names: tuple[Reference, ...]
    manifest: tuple[bytes, str] | None
