"""What a cache remembers of steps, and where the layers of it are to be had."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from lamina.values.digest import BlobDigest, ChainID, DiffID

if TYPE_CHECKING:  # only a cache that travels has blobs and mounts
    from lamina.build.mountname import MountName
    from lamina.content.verified import ByteStream
    from lamina.spec.manifest import Descriptor


class Record(NamedTuple):
    """What a step gave: the chain it led to, from which inputs (JSON), and when.

    `source` names the imported cache that says so ("" for the store's own).
    """

    chain_id: ChainID | None
    inputs: str
    created: float
    source: str = ""


class Link(NamedTuple):
    """One layer over the chain `below`; `blob` is None where the cache does not hold its bytes."""

    diff_id: DiffID
    below: ChainID | None
    blob: BlobDigest | None


class Filling(NamedTuple):
    """What a cache mount held: a layer's tar of `size` bytes, and the blob that it travels as."""

    name: "MountName"
    diff_id: DiffID
    size: int
    blob: BlobDigest


class Portable(NamedTuple):
    """What a build knew: records by key, and for each chain that they name its topmost layer.

    `mounts` are what its cache mounts held, by their keys.
    """

    records: Mapping[str, Record]
    links: Mapping[ChainID, Link]
    mounts: Mapping[str, Filling] = {}


class Blob(NamedTuple):
    """A layer or a cache mount as it travels, and what opens it: verified by the last read."""

    about: "Descriptor"
    open: "Callable[[], AbstractContextManager[ByteStream]]"


class Packed(NamedTuple):
    """What a cache mount held, and the blob of it."""

    filling: Filling
    blob: Blob
