"""Records of the build cache: what a step's key gave, and from which inputs it was made.

A record holds its layer alive (a `cache` reference) until it is pruned or until the image
whose layer it is goes away. That of a cache mount holds a read-write layer.
"""

import sqlite3
from typing import NamedTuple

from lamina.metadata import layers, refs
from lamina.values.digest import ChainID
from lamina.values.ids import LayerID

SCHEMA = (
    """CREATE TABLE cache(
        key      TEXT PRIMARY KEY,
        chain_id TEXT,
        inputs   TEXT NOT NULL,
        created  REAL NOT NULL,
        used     REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX cache_chain ON cache(chain_id)",
)


class CacheRecord(NamedTuple):
    """What a step gave: the chain on top of which the build goes on (None: no layer at all).

    `inputs` is a JSON text of what the key was made from; `created` and `used` in seconds
    since the epoch.
    """

    key: str
    chain_id: ChainID | None
    inputs: str
    created: float
    used: float


def _row(values: tuple[str, str | None, str, float, float]) -> CacheRecord:
    key, chain_id, inputs, created, used = values
    return CacheRecord(key, ChainID(chain_id) if chain_id else None, inputs, created, used)


def find(db: sqlite3.Connection, key: str) -> CacheRecord | None:
    """The record of `key`, if its layer is still here."""
    found = db.execute(
        "SELECT key, chain_id, inputs, created, used FROM cache WHERE key = ? AND"
        " (chain_id IS NULL OR EXISTS"
        " (SELECT 1 FROM layers WHERE layers.chain_id = cache.chain_id AND state = 'ready'))",
        (key,),
    ).fetchone()
    return _row(found) if found is not None else None


def record(
    db: sqlite3.Connection, key: str, chain_id: ChainID | None, inputs: str, now: float
) -> None:
    """Remember what `key` gave; the newest answer stands."""
    refs.drop_owner(db, refs.CACHE, key)
    db.execute(
        "INSERT INTO cache VALUES (?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET"
        " chain_id = excluded.chain_id, inputs = excluded.inputs, created = excluded.created,"
        " used = excluded.used",
        (key, chain_id, inputs, now, now),
    )
    if chain_id is not None:
        refs.add(db, refs.CACHE, key, chain_id)


def forget(db: sqlite3.Connection, key: str) -> None:
    """Drop one record and its claim."""
    db.execute("DELETE FROM cache WHERE key = ?", (key,))
    refs.drop_owner(db, refs.CACHE, key)


def forget_chain(db: sqlite3.Connection, chain_id: ChainID) -> None:
    """Drop every record that gave `chain_id`."""
    for (key,) in db.execute("SELECT key FROM cache WHERE chain_id = ?", (chain_id,)).fetchall():
        forget(db, key)


def all_rows(db: sqlite3.Connection) -> list[CacheRecord]:
    """Every record, newest first."""
    found = db.execute(
        "SELECT key, chain_id, inputs, created, used FROM cache ORDER BY created DESC, key"
    )
    return [_row(values) for values in found]


def keep_layer(db: sqlite3.Connection, key: str, layer: LayerID, inputs: str, now: float) -> None:
    """Let a staged read-write layer be the cache mount `key`, in one transaction."""
    layers.publish(db, layer, diff_id=None, chain_id=None, size=0, entries=0)
    record(db, key, None, inputs, now)
    refs.add(db, refs.CACHE, key, layer)


class KeptLayer(NamedTuple):
    """A cache mount: its key, what that is made from (JSON), its layer, when it was last used."""

    key: str
    inputs: str
    layer: LayerID
    used: float


def kept_layer(db: sqlite3.Connection, key: str) -> LayerID | None:
    """The layer of the cache mount `key`, if there is one."""
    found = [each.layer for each in kept_layers(db) if each.key == key]
    return found[0] if found else None


def kept_layers(db: sqlite3.Connection) -> list[KeptLayer]:
    """Every cache mount, oldest first."""
    found = db.execute(
        "SELECT cache.key, cache.inputs, layers.id, cache.used FROM cache"
        " JOIN refs ON refs.owner = cache.key AND refs.kind = ?"
        " JOIN layers ON layers.id = refs.target"
        " WHERE cache.chain_id IS NULL AND layers.kind = 'active' AND layers.state = 'ready'"
        " ORDER BY cache.created, cache.key",
        (refs.CACHE,),
    )
    return [KeptLayer(key, inputs, LayerID(layer), used) for key, inputs, layer, used in found]


def note_use(db: sqlite3.Connection, key: str, now: float) -> None:
    """Let a record have been used now; nothing where it is gone."""
    db.execute("UPDATE cache SET used = ? WHERE key = ?", (now, key))
