"""Taking over what another engine keeps, and moving a store from its driver to another one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lamina.engine.image import Image
from lamina.engine.images import LoadedImage
from lamina.engine.moveplan import Plan
from lamina.engine.moving import Moved, Moving
from lamina.engine.parts import Parts
from lamina.foreign.api import ForeignStore
from lamina.foreign.opening import open_foreign
from lamina.transfer.takeover import Planned, plan, take_over
from lamina.values.events import Sink


class Migration:
    """Images of `docker:DIR` or `containers-storage:DIR` into this store, which only reads there;
    and this store to another driver.
    """

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
            loaded = take_over(planned, images, layers, events or engine.sink)
        return [
            LoadedImage(Image(engine, images.row(each.image)), each.names, each.replaced)
            for each in loaded
        ]

    def plan_move(self, target: str, options: Sequence[str] = ()) -> Plan:
        """What `move` would do, and how many bytes it would copy; nothing is written.

        Raises `DriverUnknown`, `DriverNotSupported` or `UsageError`.
        """
        return Moving(self._engine).plan(target, options)

    def move(
        self, target: str, options: Sequence[str] = (), *, events: Sink | None = None
    ) -> Moved:
        """Move all layers and containers to the driver `target`; this engine goes on with it.

        `options` are the new driver's own, as `--storage-opt` gives them. The store can be used
        while layers are copied. What is stopped or killed goes on at the next call. Raises
        `InUse` while containers run or another process has the store open, or `StorageError`.
        """
        return Moving(self._engine).move(target, options, events=events or self._engine.sink)

    def abandon(self) -> str | None:
        """Give up a move that is under way; gives the driver it went to, None for none."""
        return Moving(self._engine).abandon()

    def _planned(self, store: ForeignStore, names: Sequence[str]) -> tuple[Planned, ...]:
        return plan(store, names, self._engine.image_store, self._engine.layers)


@contextmanager
def _opened(source: str) -> Iterator[ForeignStore]:
    store = open_foreign(source)
    try:
        yield store
    finally:
        store.close()
