"""Making containers, and naming them.

A container's row and its read-write layer appear in one transaction and go in one; what a
killed process leaves between is a staged or doomed layer, which recovery takes away.
"""

import os
import sqlite3
import time

from lamina.containers import names
from lamina.containers.settings import Settings, Wishes, settle
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.containers.volumes import check_name, claim, with_names
from lamina.errors import ImageNotFound, NameTaken, from_oserror
from lamina.fs.faults import crash_point
from lamina.kernel.namespaces import CAP_SYS_ADMIN, has_capability
from lamina.metadata import containers, images, refs
from lamina.metadata.containers import ContainerRow
from lamina.metadata.volumes import VolumeRow
from lamina.values.digest import ImageID
from lamina.values.ids import ContainerID


def create(
    store: ContainerStore,
    image: ImageID,
    image_name: str,
    wishes: Wishes,
    name: str | None = None,
    *,
    outlives: bool = False,
) -> StoredContainer:
    """Make a container of `image`; raises `NameTaken`, `InvalidName` or `UsageError`.

    One that is to be removed at its end goes with its maker, too, unless it `outlives` that.
    """
    container = ContainerID.from_random(os.urandom(32))
    config = store.images.config(image)
    declared = has_capability(CAP_SYS_ADMIN)  # else the image's own directories serve
    settings = settle(config.config, wishes, container.short, declared=declared)
    settings, volumes = with_names(settings, container)
    for each in volumes:
        check_name(each.name)
    if name is not None:
        names.check(name)
        refuse_taken(store, name)
    _make(wishes.missing_sources)
    layer = store.layers.create_rw(config.top_chain, size=wishes.storage_size)
    row = ContainerRow(
        container, name or "", image, image_name, layer, settings.to_json(), time.time()
    )
    return adopt(store, row, settings, volumes, outlives=outlives)


def _make(folders: tuple[str, ...]) -> None:
    """Directories of this machine that are to be mounted, when all else is as it should be."""
    for each in folders:
        try:
            os.makedirs(each, mode=0o755, exist_ok=True)
        except OSError as error:
            raise from_oserror(error, "making the directory to be mounted", each) from error


def adopt(
    store: ContainerStore,
    row: ContainerRow,
    settings: Settings,
    used: list[VolumeRow],
    *,
    outlives: bool = False,
) -> StoredContainer:
    """Record a container with the layer made for it, which goes if that fails, and volumes."""
    try:
        row = _record(store, row, used, brief=settings.auto_remove and not outlives)
    except BaseException:
        store.layers.remove_rw(row.layer_id)
        raise
    return StoredContainer(row, settings, "created")


def refuse_taken(store: ContainerStore, name: str) -> None:
    """Raise `NameTaken` when a container has that name."""
    with store.layers.root.database.read() as db:
        holders = [row for row in containers.find(db, name) if row.name == name]
    if holders:
        raise NameTaken(
            f"the container name {name!r} is in use by {holders[0].id.short}",
            hint=f"remove it (`lamina rm {name}`) or choose another name",
        )


def _record(
    store: ContainerStore, row: ContainerRow, used: list[VolumeRow], *, brief: bool
) -> ContainerRow:
    """One that is `brief` is to be removed by its maker, or by whoever finds that dead."""
    root = store.layers.root
    with root.database.write() as db:
        if images.get(db, row.image_id) is None:
            raise ImageNotFound(f"the image {row.image_id.short} was removed meanwhile")
        named = row if row.name else row._replace(name=_free_name(db))
        try:
            containers.add(db, named)
        except sqlite3.IntegrityError:
            raise NameTaken(
                f"the container name {named.name!r} is in use",
                hint=f"remove it (`lamina rm {named.name}`) or choose another name",
            ) from None
        claim(db, named.id, used)
        if brief:
            refs.add(db, refs.LEASE, root.lease, row.layer_id)
    crash_point("container-recorded")
    return named


def rename(store: ContainerStore, stored: StoredContainer, name: str) -> None:
    """Give the container another name; raises `NameTaken` or `InvalidName`."""
    names.check(name)
    refuse_taken(store, name)
    with store.layers.root.database.write() as db:
        containers.rename(db, stored.row, name)


def _free_name(db: sqlite3.Connection) -> str:
    while True:
        name = names.draw(os.urandom(4))
        if not containers.find(db, name):
            return name
