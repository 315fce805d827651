"""The layers of a travelling image, laid into the store; one that is here is not even opened."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lamina.content.verified import ByteStream
from lamina.images.api import TravellingLayer
from lamina.layers import chains
from lamina.layers.kinds import Coming
from lamina.layers.store import LayerStore
from lamina.transfer.telling import one_at_a_time
from lamina.values.digest import BlobDigest, ChainID
from lamina.values.events import LayerProgress, Sink


def load_layers(
    wanted: Sequence[TravellingLayer],
    layers: LayerStore,
    events: Sink,
    below: ChainID | None = None,
) -> frozenset[BlobDigest]:
    """Have layers here and held, over `below`; several at once where the driver can.

    Gives the blobs that were read to their end, and were the layers they were said to be.
    """
    tell = one_at_a_time(events)
    top = below
    missing = list(wanted)
    while missing and layers.hold(chain := ChainID.extend(top, missing[0].diff_id)):
        tell(LayerProgress(_name(missing.pop(0)), "already exists", 0, 0))
        top = chain
    watches = [_Watch(layer, tell) for layer in missing]
    chains.register(
        layers,
        top,
        [Coming(each.layer.diff_id, each.open) for each in watches],
        lambda number: tell(LayerProgress(_name(missing[number]), "complete", 0, 0)),
    )
    return frozenset(
        each.layer.blob.digest for each in watches if each.ended and each.layer.blob is not None
    )


def _name(layer: TravellingLayer) -> str:
    return (layer.blob.digest if layer.blob is not None else layer.diff_id).short


class _Watch:
    """One layer on its way; `ended` once its stream was read to its end."""

    def __init__(self, layer: TravellingLayer, events: Sink) -> None:
        self.layer = layer
        self.ended = False
        self._events = events

    @contextmanager
    def open(self) -> Iterator["_Watched"]:
        """The layer's stream, told of."""
        self._events(LayerProgress(_name(self.layer), "extracting", 0, 0))
        with self.layer.open() as stream:
            watched = _Watched(stream)
            yield watched
            self.ended = watched.ended


class _Watched:
    """A stream that says whether it was read to its end."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.ended = False

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.ended = self.ended or not data
        return data

    def cancel(self) -> None:
        """Hand on that its reader is going."""
        cancel = getattr(self._stream, "cancel", None)
        if cancel is not None:
            cancel()
