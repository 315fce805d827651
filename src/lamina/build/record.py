"""What a cache remembers of a step, and where a layer of it is to be had."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from lamina.content.verified import ByteStream
from lamina.spec.manifest import Descriptor
from lamina.values.digest import ChainID


class Record(NamedTuple):
    """What a step gave: the chain it led to, from which inputs (JSON), and when.

    `source` names the imported cache that says so ("" for the store's own).
    """

    chain_id: ChainID | None
    inputs: str
    created: float
    source: str = ""


class Blob(NamedTuple):
    """A layer as it travels, and what opens it: its bytes, verified by the last read."""

    about: Descriptor
    open: Callable[[], AbstractContextManager[ByteStream]]
