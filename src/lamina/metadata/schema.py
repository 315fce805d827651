"""The tables of a new database: each family's own, put together."""

from lamina.metadata import blobs, cache, containers, images, layers, refs

_META = ("CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",)
SCHEMA: tuple[str, ...] = (
    *_META,
    *layers.SCHEMA,
    *refs.SCHEMA,
    *blobs.SCHEMA,
    *images.SCHEMA,
    *containers.SCHEMA,
    *cache.SCHEMA,
)
FROM_1: tuple[str, ...] = layers.FROM_1
"""What brings a database of format 1 up to format 2."""
