"""The cache mounts of a store (`RUN --mount=type=cache`): listed, saved, loaded, removed."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina.engine.parts import Parts
from lamina.errors import NotFound
from lamina.layers import gc
from lamina.metadata import cache, refs
from lamina.metadata.cache import KeptLayer
from lamina.values.events import Sink

if TYPE_CHECKING:  # a list of them moves none
    from lamina.build.mountname import MountName
    from lamina.content.verified import ByteStream


class CacheMount(NamedTuple):
    """A cache of RUN's: the ID that Dockerfiles give it, what it holds in bytes, and its use.

    `used` is when a build, or a save, last asked for it, in seconds since the epoch.
    """

    title: str
    size: int
    in_use: bool
    used: float


class LoadedMount(NamedTuple):
    """A cache mount that an archive held, and whether it was not here, so that it was loaded."""

    title: str
    is_new: bool


class CacheMounts:
    """Those of one store."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine

    def list(self) -> tuple[CacheMount, ...]:
        """All of them, oldest first, measured now."""
        layers = self._engine.layers
        return tuple(
            CacheMount(
                _title(each),
                layers.usage(each.layer).size,
                gc.is_used(layers.root, each.layer),
                each.used,
            )
            for each in self._rows()
        )

    def save(
        self,
        write: Callable[[bytes], object],
        ids: Sequence[str] = (),
        *,
        events: Sink | None = None,
    ) -> tuple[str, ...]:
        """Write those of these IDs (none: all) as an OCI archive; gives the IDs of what is in it.

        A build takes them from it, too: `cache_from=["type=local,src=FILE"]`. Who has one locked
        is waited for. Raises `NotFound` or a `StorageError`.
        """
        from lamina.engine.mountmoving import save

        names = {each.key: each for row in self._chosen(ids) if (each := _name(row)) is not None}
        save(self._engine.layers, tuple(names.values()), write, events or self._engine.sink)
        return tuple(sorted(each.id for each in names.values()))

    def load(
        self, source: "str | ByteStream", *, events: Sink | None = None
    ) -> tuple[LoadedMount, ...]:
        """Take in those of an archive, or of a build's cache in a folder, that are not here yet.

        `source` is a path, or anything that has `read`. They are durable when this returns. Raises
        `BadInput` for what is no such archive, or is not what it promises; those before it are
        here then, whole.
        """
        from lamina.engine.mountmoving import load

        loaded = load(self._engine, source, events or self._engine.sink)
        self._engine.layers.barrier()
        return tuple(LoadedMount(name.id, is_new) for name, is_new in loaded)

    def remove(self, *ids: str) -> int:
        """Remove those of these IDs; gives how many there were. Raises `NotFound`.

        What a build uses goes when that is done with it.
        """
        chosen = self._chosen(ids) if ids else ()
        layers = self._engine.layers
        with layers.root.database.write() as db:
            for each in chosen:
                cache.forget(db, each.key)
            refs.note_garbage(db, layers.root.lease)
        layers.reclaim()
        return len(chosen)

    def _rows(self) -> tuple[KeptLayer, ...]:
        with self._engine.layers.root.database.read() as db:
            return tuple(cache.kept_layers(db))

    def _chosen(self, ids: Sequence[str]) -> tuple[KeptLayer, ...]:
        """The mounts of these IDs, or all; raises `NotFound` for the first ID that none has."""
        rows = self._rows()
        there = {_title(each) for each in rows}
        for wanted in ids:
            if wanted not in there:
                raise NotFound(
                    f"there is no cache mount {wanted!r}", hint="see `lamina cache mount ls`"
                )
        return tuple(each for each in rows if not ids or _title(each) in ids)


def _title(row: KeptLayer) -> str:
    return str(json.loads(row.inputs)["facts"]["id"])


def _name(row: KeptLayer) -> "MountName | None":
    """What a record says of a mount; None for an instance of a private one beyond the first.

    Records of earlier versions tell the ID alone, which does where all else is as usual.
    """
    from lamina.build.mountname import named_by

    name = named_by(json.loads(row.inputs)["facts"])
    return name if row.key == f"{name.key}.0" else None
