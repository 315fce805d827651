"""What the areas see of an engine: the stores it put together."""

from typing import TYPE_CHECKING, Protocol

from lamina.drivers.select import Choice
from lamina.engine.config import Config
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.values.events import Sink

if TYPE_CHECKING:  # loaded by what makes containers; a listing of images must not pay for it
    from lamina.containers.store import ContainerStore


class Parts(Protocol):
    """The stores of one open engine."""

    layers: LayerStore
    image_store: ImageStore
    config: Config
    choice: Choice
    run_root: str
    sink: Sink

    @property
    def container_store(self) -> "ContainerStore":
        """The containers as stored things; made when first asked for."""
