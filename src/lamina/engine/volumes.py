"""Volumes, shaped as docker-py's: create, get, list, prune."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lamina.containers.volumes import StoredVolume
from lamina.engine.parts import Parts
from lamina.errors import InUse, VolumeNotFound
from lamina.fs.usage import Usage, usage_of

if TYPE_CHECKING:  # only who prunes needs it
    from lamina.values.narrowing import Narrowing


class Volume:
    """One volume."""

    def __init__(self, engine: Parts, stored: StoredVolume) -> None:
        self._store = engine.container_store.volumes
        self._stored = stored

    def __repr__(self) -> str:
        return f"<Volume: {self.name}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._stored.row.name

    @property
    def mountpoint(self) -> str:
        """The directory that containers see."""
        return self._stored.path

    @property
    def created_at(self) -> float:
        """When it was made, in seconds since the epoch."""
        return self._stored.row.created

    @property
    def labels(self) -> dict[str, str]:
        """What it was labelled with."""
        return dict(self._stored.row.labels)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody gave it a name."""
        return self._stored.row.anonymous

    @property
    def users(self) -> tuple[str, ...]:
        """The names of the containers that use it."""
        return self._stored.users

    @property
    def size(self) -> int:
        """Apparent bytes in it, measured now."""
        return _usage(self._stored.path).size

    def remove(self) -> None:
        """Remove it with all in it; raises `InUse` naming the containers that use it."""
        self._store.remove(self.name)


class Volumes:
    """The volumes of a store."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine
        self._store = engine.container_store.volumes

    def create(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> Volume:
        """Make one, or give the one of that name; raises `InvalidName` or `InUse`."""
        return Volume(self._engine, self._store.create(name, dict(labels or {})))

    def get(self, name: str) -> Volume:
        """The volume of that name; raises `VolumeNotFound`."""
        return Volume(self._engine, self._store.get(name))

    def prune(
        self, *, named: bool = False, only: "Narrowing | None" = None
    ) -> list[tuple[str, int]]:
        """Remove those that no container uses; of those with a name only with `named`.

        Or `only` some of these.
        Gives what went, with its bytes.
        """
        gone = []
        for volume in self.list():
            if volume.users or not (named or volume.is_anonymous):
                continue
            if only is not None and not only.admits(volume.created_at, volume.labels):
                continue
            size = volume.size
            try:
                volume.remove()
            except (InUse, VolumeNotFound):
                continue  # a container was faster, or another command
            gone.append((volume.name, size))
        return gone

    def list(self) -> list[Volume]:
        """Every volume, by name."""
        return [Volume(self._engine, stored) for stored in self._store.all()]


def _usage(path: str) -> Usage:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Usage(0, 0, 0)
    try:
        return usage_of(descriptor)
    finally:
        os.close(descriptor)
