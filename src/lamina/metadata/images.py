"""Rows of images and of the names that point at them.

What a listing shows stands in the row itself, so that a thousand images are one query.
"""

import sqlite3
from typing import NamedTuple

from lamina.metadata import refs
from lamina.values.digest import BlobDigest, ChainID, ImageID

SCHEMA = (
    """CREATE TABLE images(
        id        TEXT PRIMARY KEY,
        created   REAL NOT NULL,
        size      INTEGER NOT NULL,
        top_chain TEXT,
        layers    INTEGER NOT NULL,
        manifest  TEXT,
        labels    TEXT NOT NULL,
        added     REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX images_chain ON images(top_chain)",
    """CREATE TABLE names(
        name     TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images(id)
    ) WITHOUT ROWID""",
    "CREATE INDEX names_image ON names(image_id)",
)

_COLUMNS = "id, created, size, top_chain, layers, manifest, labels, added"


class ImageRow(NamedTuple):
    """One image. `created` (from its config) and `added` in seconds since the epoch, `size` in
    apparent bytes of all its layers, `labels` a JSON text, `manifest` the digest it came with.
    """

    id: ImageID
    created: float
    size: int
    top_chain: ChainID | None
    layers: int
    manifest: BlobDigest | None
    labels: str
    added: float


def _row(values: tuple[str, float, int, str | None, int, str | None, str, float]) -> ImageRow:
    id_, created, size, top_chain, count, manifest, labels, added = values
    return ImageRow(
        ImageID(id_),
        created,
        size,
        ChainID(top_chain) if top_chain else None,
        count,
        BlobDigest(manifest) if manifest else None,
        labels,
        added,
    )


def add(db: sqlite3.Connection, row: ImageRow) -> None:
    """Record an image with its claims on config, manifest and layers; known ones stay."""
    db.execute(
        f"INSERT INTO images({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT(id) DO UPDATE SET manifest = coalesce(excluded.manifest, images.manifest)",
        row,
    )
    for target in (row.id, row.top_chain, row.manifest):
        if target is not None:
            refs.add(db, refs.IMAGE, row.id, target)


def claim(db: sqlite3.Connection, image: ImageID, target: str) -> None:
    """Say that the image also needs a blob (a layer as it came)."""
    refs.add(db, refs.IMAGE, image, target)


def annotate(db: sqlite3.Connection, image: ImageID, manifest: BlobDigest | None) -> bool:
    """Say which manifest a build annotated for an image (None: none any more).

    Gives whether one before it is not needed now.
    """
    before = refs.targets(db, refs.ANNOTATED, image)
    gone = [each for each in before if each != manifest]
    refs.drop(db, refs.ANNOTATED, image, gone)
    refs.drop(db, refs.IMAGE, image, gone)
    if manifest is not None:
        refs.add(db, refs.ANNOTATED, image, manifest)
    return bool(gone)


def is_annotated(db: sqlite3.Connection, image: ImageID) -> bool:
    """Whether an image has the manifest that a build annotated for it."""
    found = db.execute(
        "SELECT 1 FROM refs JOIN images ON images.id = owner AND images.manifest = target"
        " WHERE kind = ? AND owner = ?",
        (refs.ANNOTATED, image),
    )
    return found.fetchone() is not None


def get(db: sqlite3.Connection, image: str) -> ImageRow | None:
    """The row of an image ID."""
    found = db.execute(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (image,)).fetchone()
    return _row(found) if found is not None else None


def all_rows(db: sqlite3.Connection) -> list[ImageRow]:
    """Every image, newest first."""
    found = db.execute(f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, added DESC, id")
    return [_row(values) for values in found]


def all_names(db: sqlite3.Connection) -> dict[str, list[str]]:
    """Every image's names, sorted, by the image's ID."""
    names: dict[str, list[str]] = {}
    for name, image in db.execute("SELECT name, image_id FROM names ORDER BY name"):
        names.setdefault(image, []).append(name)
    return names


def names_of(db: sqlite3.Connection, image: ImageID) -> list[str]:
    """The names that point at an image, sorted."""
    found = db.execute("SELECT name FROM names WHERE image_id = ? ORDER BY name", (image,))
    return [name for (name,) in found]


def by_name(db: sqlite3.Connection, name: str) -> ImageID | None:
    """The image that a canonical name points at."""
    found = db.execute("SELECT image_id FROM names WHERE name = ?", (name,)).fetchone()
    return ImageID(found[0]) if found is not None else None


def in_repository(db: sqlite3.Connection, repository: str) -> list[tuple[str, ImageID]]:
    """The names of a repository (domain and path) with their images, sorted."""
    found = db.execute(
        "SELECT name, image_id FROM names WHERE name > ? AND name < ? ORDER BY name",
        (f"{repository}:", f"{repository};"),  # `;` is the character after `:`
    )
    return [(name, ImageID(image)) for name, image in found]


def by_prefix(db: sqlite3.Connection, prefix: str) -> list[ImageID]:
    """The images whose hexadecimal ID begins with `prefix`."""
    low = f"sha256:{prefix}"
    found = db.execute(
        "SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", (low, low + "g")
    )
    return [ImageID(image) for (image,) in found]


def by_manifest(db: sqlite3.Connection, digest: str) -> ImageID | None:
    """The image that came with the manifest of that digest."""
    found = db.execute("SELECT id FROM images WHERE manifest = ?", (digest,)).fetchone()
    return ImageID(found[0]) if found is not None else None


def point(db: sqlite3.Connection, name: str, image: ImageID) -> ImageID | None:
    """Let a canonical name point at an image; gives the one it pointed at before."""
    before = by_name(db, name)
    db.execute(
        "INSERT INTO names VALUES (?, ?)"
        " ON CONFLICT(name) DO UPDATE SET image_id = excluded.image_id",
        (name, image),
    )
    return before if before != image else None


def unname(db: sqlite3.Connection, name: str) -> None:
    """Let a canonical name point at nothing."""
    db.execute("DELETE FROM names WHERE name = ?", (name,))


def remove(db: sqlite3.Connection, image: ImageID) -> None:
    """Drop an image, its names and its claims; its layers are then perhaps unreachable."""
    db.execute("DELETE FROM names WHERE image_id = ?", (image,))
    db.execute("DELETE FROM images WHERE id = ?", (image,))
    refs.drop_owner(db, refs.IMAGE, image)
    refs.drop_owner(db, refs.ANNOTATED, image)
    from lamina.metadata import events  # a listing tells of nothing

    events.of_image(db, "delete", image, image)


def drop_chain(db: sqlite3.Connection, chain_id: ChainID) -> None:
    """Drop every image whose topmost layer is lost."""
    found = db.execute("SELECT id FROM images WHERE top_chain = ?", (chain_id,)).fetchall()
    for (image,) in found:
        remove(db, ImageID(image))


def drop_blob(db: sqlite3.Connection, digest: str) -> None:
    """Drop the image whose config is lost; one whose manifest or kept layer is, goes without."""
    if get(db, digest) is not None:
        remove(db, ImageID(digest))
    for owner in refs.owners_of(db, refs.IMAGE, digest):
        manifest = db.execute("SELECT manifest FROM images WHERE id = ?", (owner,)).fetchone()
        refs.drop(db, refs.IMAGE, owner, [digest, *(manifest or ())])
        refs.drop_owner(db, refs.ANNOTATED, owner)
        db.execute("UPDATE images SET manifest = NULL WHERE id = ?", (owner,))


def chain_users(db: sqlite3.Connection, chain_id: ChainID) -> list[ImageID]:
    """The images whose topmost layer has that chain ID."""
    found = db.execute("SELECT id FROM images WHERE top_chain = ?", (chain_id,))
    return [ImageID(image) for (image,) in found]
