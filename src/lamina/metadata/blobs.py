"""Rows of blobs: manifests, configs and compressed layers as they came."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from lamina.values.digest import BlobDigest, DiffID

SCHEMA = (
    """CREATE TABLE blobs(
        digest     TEXT PRIMARY KEY,
        size       INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        diff_id    TEXT,
        created    REAL NOT NULL,
        boot_id    TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX blobs_diff ON blobs(diff_id) WHERE diff_id IS NOT NULL",
)


class BlobRow(NamedTuple):
    """One stored blob; `diff_id` is set for a compressed layer. `size` in bytes."""

    digest: BlobDigest
    size: int
    media_type: str
    diff_id: DiffID | None


def _row(values: tuple[str, int, str, str | None]) -> BlobRow:
    digest, size, media_type, diff_id = values
    return BlobRow(BlobDigest(digest), size, media_type, DiffID(diff_id) if diff_id else None)


def record(db: sqlite3.Connection, row: BlobRow, *, created: float, boot_id: str) -> None:
    """Write down a blob that is in place; known ones are left as they are.

    What a manifest says of its diff ID is not believed: that is for `vouch`.
    """
    db.execute(
        "INSERT INTO blobs VALUES (?, ?, ?, NULL, ?, ?) ON CONFLICT(digest) DO NOTHING",
        (row.digest, row.size, row.media_type, created, boot_id),
    )


def vouch(db: sqlite3.Connection, row: BlobRow) -> None:
    """Say that a blob was read and was the layer of that diff ID."""
    db.execute(
        "UPDATE blobs SET diff_id = ?, size = ?, media_type = ? WHERE digest = ?",
        (row.diff_id, row.size, row.media_type, row.digest),
    )


def get(db: sqlite3.Connection, digest: str) -> BlobRow | None:
    """The row of a blob, if it is stored."""
    found = db.execute(
        "SELECT digest, size, media_type, diff_id FROM blobs WHERE digest = ?", (digest,)
    ).fetchone()
    return _row(found) if found is not None else None


def of_layer(db: sqlite3.Connection, diff_id: str) -> list[BlobRow]:
    """The compressed forms of a layer, those that an image has first."""
    found = db.execute(
        "SELECT digest, size, media_type, diff_id FROM blobs WHERE diff_id = ?"
        " ORDER BY digest NOT IN (SELECT target FROM refs WHERE kind = 'image'), digest",
        (diff_id,),
    )
    return [_row(values) for values in found]


def all_rows(db: sqlite3.Connection) -> list[BlobRow]:
    """Every stored blob."""
    found = db.execute("SELECT digest, size, media_type, diff_id FROM blobs ORDER BY digest")
    return [_row(values) for values in found]


def needed_by_images(db: sqlite3.Connection) -> list[BlobDigest]:
    """The blobs that must be in place, because an image has them."""
    found = db.execute(
        "SELECT digest FROM blobs WHERE digest IN (SELECT target FROM refs WHERE kind = 'image')"
        " ORDER BY digest"
    )
    return [BlobDigest(digest) for (digest,) in found]


def unreferenced(db: sqlite3.Connection) -> list[BlobRow]:
    """Blobs that nothing refers to."""
    found = db.execute(
        "SELECT digest, size, media_type, diff_id FROM blobs"
        " WHERE digest NOT IN (SELECT target FROM refs) ORDER BY digest"
    )
    return [_row(values) for values in found]


def forget(db: sqlite3.Connection, digest: str) -> None:
    """Drop the row of a blob whose file is going."""
    db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))


def undurable(db: sqlite3.Connection) -> list[BlobDigest]:
    """The blobs that no barrier has covered yet; some may only be announced."""
    found = db.execute("SELECT digest FROM blobs WHERE boot_id IS NOT NULL")
    return [BlobDigest(digest) for (digest,) in found]


def mark_durable(db: sqlite3.Connection, digests: Iterable[BlobDigest]) -> None:
    """Say that these blobs survive a power cut; they were in place before the barrier began."""
    rows = [(digest,) for digest in digests]
    db.executemany("UPDATE blobs SET boot_id = NULL WHERE digest = ?", rows)


def undurable_of_other_boots(db: sqlite3.Connection, boot_id: str) -> list[BlobRow]:
    """Blobs that no barrier covered before the machine went down."""
    found = db.execute(
        "SELECT digest, size, media_type, diff_id FROM blobs"
        " WHERE boot_id IS NOT NULL AND boot_id <> ? ORDER BY digest",
        (boot_id,),
    )
    return [_row(values) for values in found]
