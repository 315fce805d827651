"""Layers as values and as stored things: registering, sharing, packing, reclaiming.

The meeting place of the layer tar (`archive`), a storage driver (`drivers`) and the rows that
say what exists (`metadata`). Knows chains and digests; knows no image, name or container.
"""

from lamina.layers.layer import Layer
from lamina.layers.store import LayerStore

__all__ = ["Layer", "LayerStore"]
