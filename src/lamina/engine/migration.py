"""Taking over what another engine keeps: its images, as they lie on disk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lamina.engine.images import Image, LoadedImage
from lamina.engine.parts import Parts
from lamina.foreign.api import ForeignStore
from lamina.foreign.opening import open_foreign
from lamina.transfer.takeover import Planned, plan, take_over
from lamina.values.events import Sink


class Migration:
    """Images of `docker:DIR` or `containers-storage:DIR`, read only, into this store."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine

    def plan(self, source: str, names: Sequence[str] = ()) -> tuple[Planned, ...]:
        """What `take_over` would do, with reasons; nothing is written.

        Raises `UsageError` for the text, `ForeignStore` when it is no such store,
        `ImageNotFound`, `BadInput` or `StorageError`.
        """
        with _opened(source) as store:
            return self._planned(store, names)

    def take_over(
        self, source: str, names: Sequence[str] = (), *, events: Sink | None = None
    ) -> list[LoadedImage]:
        """Take the images called `names` (all, for none) with their names.

        Every layer is put together as it was and verified by its diff ID; what is here is not
        read again. Raises what `plan` raises, `DigestMismatch` and `StoreDamaged`.
        """
        engine = self._engine
        with _opened(source) as store:
            planned = self._planned(store, names)
            images, layers = engine.image_store, engine.layers
            loaded = take_over(planned, images, layers, events or engine.events)
        return [
            LoadedImage(Image(engine, images.row(each.image)), each.names, each.replaced)
            for each in loaded
        ]

    def _planned(self, store: ForeignStore, names: Sequence[str]) -> tuple[Planned, ...]:
        return plan(store, names, self._engine.image_store, self._engine.layers)


@contextmanager
def _opened(source: str) -> Iterator[ForeignStore]:
    store = open_foreign(source)
    try:
        yield store
    finally:
        store.close()
