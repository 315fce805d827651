"""Rows of volumes: what is kept beside containers, under a name, until somebody removes it.

The table comes with the first volume. `state` is `ready`, or `removing` by the holder of `lease`;
a row goes after its folder. Which containers use one is told by references (`refs.VOLUME`).
"""

import json
import sqlite3
from typing import NamedTuple

from lamina.metadata import refs

_TABLE = """CREATE TABLE IF NOT EXISTS volumes(
    name      TEXT PRIMARY KEY,
    created   REAL NOT NULL,
    labels    TEXT NOT NULL,
    anonymous INTEGER NOT NULL,
    goes_with TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT 'ready',
    lease     TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID"""
_COLUMNS = "name, created, labels, anonymous, goes_with, state, lease"


class VolumeRow(NamedTuple):
    """One row; `created` in seconds since the epoch.

    `anonymous` is one that nobody gave a name, `goes_with` the container with which it goes.
    """

    name: str
    created: float
    labels: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    goes_with: str = ""
    state: str = "ready"
    lease: str = ""


def _row(values: tuple[object, ...]) -> VolumeRow:
    name, created, labels, anonymous, goes_with, state, lease = values
    pairs = tuple((str(key), str(value)) for key, value in json.loads(str(labels)))
    assert isinstance(created, float)
    return VolumeRow(
        str(name), created, pairs, bool(anonymous), str(goes_with), str(state), str(lease)
    )


def _is_there(db: sqlite3.Connection) -> bool:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'volumes'")
    return found.fetchone() is not None


def add(db: sqlite3.Connection, row: VolumeRow) -> None:
    """Record a volume; raises sqlite3.IntegrityError for a name that is taken."""
    db.execute(_TABLE)
    facts = (row.name, row.created, json.dumps(row.labels), row.anonymous, row.goes_with)
    db.execute(
        "INSERT INTO volumes(name, created, labels, anonymous, goes_with) VALUES (?, ?, ?, ?, ?)",
        facts,
    )
    _tell(db, row.name, "create")


def _tell(db: sqlite3.Connection, name: str, action: str) -> None:
    from lamina.metadata import events  # hardly ever one is made

    events.tell(db, "volume", action, name, {"driver": "local"})


def get(db: sqlite3.Connection, name: str) -> VolumeRow | None:
    """The volume of that name, whatever its state."""
    if not _is_there(db):
        return None
    found = db.execute(f"SELECT {_COLUMNS} FROM volumes WHERE name = ?", (name,)).fetchone()
    return None if found is None else _row(found)


def all_rows(db: sqlite3.Connection, state: str = "ready") -> list[VolumeRow]:
    """Every volume in that state, by name."""
    if not _is_there(db):
        return []
    found = db.execute(f"SELECT {_COLUMNS} FROM volumes WHERE state = ? ORDER BY name", (state,))
    return [_row(values) for values in found]


def doom(db: sqlite3.Connection, name: str, lease: str) -> None:
    """Say that the holder of `lease` (nothing: whoever comes) removes it."""
    db.execute("UPDATE volumes SET state = 'removing', lease = ? WHERE name = ?", (lease, name))


def doom_with(db: sqlite3.Connection, container: str) -> None:
    """Say that what goes with a container is to be removed by whoever comes."""
    if _is_there(db):
        db.execute("UPDATE volumes SET state = 'removing' WHERE goes_with = ?", (container,))


def forget(db: sqlite3.Connection, name: str) -> None:
    """Drop the row of one whose folder is gone."""
    db.execute("DELETE FROM volumes WHERE name = ?", (name,))
    _tell(db, name, "destroy")


def users(db: sqlite3.Connection, name: str) -> list[str]:
    """The IDs of the containers that use it."""
    return refs.owners_of(db, refs.VOLUME, name)
