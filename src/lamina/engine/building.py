"""Putting a builder together from an engine's stores; imported only when something is built."""

from lamina.build import Builder
from lamina.build.cache import StoreCache
from lamina.build.runner import LayerRunner
from lamina.engine.parts import Parts


def builder(engine: Parts) -> Builder:
    """A builder over the engine's layers and images."""
    store = engine.container_store
    return Builder(
        engine.layers,
        engine.image_store,
        StoreCache(engine.layers.root),
        LayerRunner(engine.layers, store.isolation, engine.run_root),
    )
