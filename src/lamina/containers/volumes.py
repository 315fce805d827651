"""Volumes: directories that outlive containers and are shared between them, kept in the store.

A volume that containers use is not removed.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterable
from typing import NamedTuple

from lamina.containers.settings import Settings
from lamina.errors import InUse, InvalidName, VolumeNotFound
from lamina.metadata import containers, refs, volumes
from lamina.metadata.root import StoreRoot
from lamina.metadata.volumes import VolumeRow
from lamina.runtime.process import Volume
from lamina.values.ids import ContainerID

FOLDER = "volumes"  # as in lamina.layers.volumefolders, which few commands need
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")


class StoredVolume(NamedTuple):
    """A volume, where it lies, and the names of the containers that use it."""

    row: VolumeRow
    path: str
    users: tuple[str, ...]


class VolumeStore:
    """The volumes of one store."""

    def __init__(self, root: StoreRoot) -> None:
        self._root = root

    def path(self, name: str) -> str:
        """The directory that containers see."""
        return self._root.folder(FOLDER, name, "_data")

    def staged(self, name: str) -> str:
        """Where what is to be in the volume is made ready."""
        return self._root.folder(FOLDER, name, "_new")

    def made(self, name: str) -> str:
        """The same, made if it is not there: a row comes before its folder. Raises OSError."""
        path = self.path(name)
        os.makedirs(path, mode=0o755, exist_ok=True)
        return path

    def create(self, name: str | None = None, labels: dict[str, str] | None = None) -> StoredVolume:
        """Make a volume, or give the one of that name; raises `InvalidName` or `InUse`."""
        row = VolumeRow(
            name or os.urandom(32).hex(),
            time.time(),
            tuple(sorted((labels or {}).items())),
            anonymous=name is None,
        )
        check_name(row.name)
        self.settle()
        with self._root.database.write() as db:
            require(db, row)
        self.made(row.name)
        return self.get(row.name)

    def get(self, name: str) -> StoredVolume:
        """The volume of that name; raises `VolumeNotFound`."""
        with self._root.database.read() as db:
            row = volumes.get(db, name)
            if row is None or row.state != "ready":
                raise VolumeNotFound(f"no such volume: {name}", hint="see `lamina volume ls`")
            return self._stored(db, row)

    def all(self) -> tuple[StoredVolume, ...]:
        """Every volume, by name."""
        with self._root.database.read() as db:
            return tuple(self._stored(db, row) for row in volumes.all_rows(db))

    def _stored(self, db: sqlite3.Connection, row: VolumeRow) -> StoredVolume:
        users = volumes.users(db, row.name)
        names = [found.name for each in users for found in containers.find(db, each)]
        return StoredVolume(row, self.path(row.name), tuple(names))

    def remove(self, name: str) -> None:
        """Remove a volume with all in it; raises `VolumeNotFound`, or `InUse` naming its users."""
        stored = self.get(name)
        with self._root.database.write() as db:
            users = self._stored(db, stored.row).users
            if users:
                raise InUse(
                    f"the volume {name} is used by {', '.join(users)}", hint="remove them first"
                )
            row = volumes.get(db, name)
            if row is None or row.state != "ready":
                return  # another command was faster
            volumes.doom(db, name, self._root.lease)
        from lamina.layers.volumefolders import erase

        erase(self._root, name)

    def is_shared(self, name: str, container: ContainerID) -> bool:
        """Whether other containers use it, too."""
        with self._root.database.read() as db:
            return bool(set(volumes.users(db, name)) - {container})

    def settle(self) -> None:
        """Erase what is to go with containers that are gone."""
        from lamina.layers.volumefolders import settle

        settle(self._root)


def check_name(name: str) -> None:
    """Raise `InvalidName` for what is no name of a volume."""
    if _NAME.fullmatch(name) is None:
        raise InvalidName(
            f"invalid volume name {name[:100]!r}",
            hint="use letters, digits, `_`, `.` and `-`; a directory begins with `/` or `.`",
        )


def require(db: sqlite3.Connection, row: VolumeRow) -> None:
    """Record a volume unless there is one of that name; raises `InUse` while that is going."""
    found = volumes.get(db, row.name)
    if found is None:
        volumes.add(db, row)
    elif found.state != "ready":
        raise InUse(f"the volume {row.name} is being removed", hint="try again in a moment")


def claim(db: sqlite3.Connection, container: ContainerID, rows: Iterable[VolumeRow]) -> None:
    """Record that a container uses these volumes, which are made if they are not there."""
    for row in rows:
        require(db, row)
        refs.add(db, refs.VOLUME, container, row.name)


def doom_anonymous(db: sqlite3.Connection, container: ContainerID) -> None:
    """Doom the volumes that nobody gave a name and that this container alone uses."""
    for name in refs.targets(db, refs.VOLUME, container):
        row = volumes.get(db, name)
        if row is not None and row.anonymous and volumes.users(db, name) == [container]:
            volumes.doom(db, name, "")


def with_names(settings: Settings, container: ContainerID) -> tuple[Settings, list[VolumeRow]]:
    """The settings with a name for every volume, and the volumes as they are to be made."""
    rows: list[VolumeRow] = []
    shown: list[Volume] = []
    for each in settings.volumes:
        if each.is_kept:
            anonymous = not each.name
            each = each._replace(name=each.name or os.urandom(32).hex())
            with_it = container if anonymous and settings.auto_remove else ""
            rows.append(VolumeRow(each.name, time.time(), (), anonymous, with_it))
        shown.append(each)
    return settings._replace(volumes=tuple(shown)), rows
