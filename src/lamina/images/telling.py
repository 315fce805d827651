"""What is told of images that are made, named and unnamed, as docker tells it."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from lamina.errors import StorageError
from lamina.metadata import events, images
from lamina.metadata.images import ImageRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ImageID
from lamina.values.reference import Reference

Occasion = Literal["tag", "import", "load", "pull"]  # as what a new image is told of


def tell_made(
    db: sqlite3.Connection, row: ImageRow, names: Iterable[Reference], told: Occasion
) -> None:
    """An image came to be, or got names: docker tells of the names where it made them itself."""
    for name in names:
        if told in ("tag", "import"):
            events.of_image(db, "tag", row.id, name.with_default_tag().familiar, row.labels)
        if told == "pull":
            events.of_image(db, told, name.familiar, name.familiar_name, row.labels)
    if told in ("load", "import"):
        events.of_image(db, told, row.id, row.id, row.labels)


def tell_untagged(db: sqlite3.Connection, image: ImageID, count: int) -> None:
    """So many of its names are gone; docker does not say which."""
    row = images.get(db, image)
    for _ in range(count if row is not None else 0):
        events.of_image(db, "untag", image, image, row.labels if row is not None else "{}")


def announce(root: StoreRoot, action: str, image: ImageID, name: Reference | None = None) -> None:
    """Tell what was done with an image, as itself or under a name, where no row of it changes.

    What cannot be told, for want of room, is done all the same.
    """
    subject = (image, image) if name is None else (name.familiar, name.familiar_name)
    with suppress(StorageError), root.database.write() as db:
        row = images.get(db, image)
        events.of_image(db, action, *subject, row.labels if row is not None else "{}")
