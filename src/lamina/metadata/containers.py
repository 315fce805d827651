"""Rows of containers: what each was made from and how its last run went.

A running container's row carries the boot, the process and its start time; on another boot, or
when that process is gone, it counts as exited, whatever the row says.
"""

import sqlite3
from typing import NamedTuple

from lamina.metadata import layers, refs, volumes
from lamina.values.digest import ImageID
from lamina.values.ids import ContainerID, LayerID, LeaseID

SCHEMA = (
    """CREATE TABLE containers(
        id         TEXT PRIMARY KEY,
        name       TEXT NOT NULL UNIQUE,
        image_id   TEXT NOT NULL,
        image_name TEXT NOT NULL,
        layer_id   TEXT NOT NULL REFERENCES layers(id),
        settings   TEXT NOT NULL,
        created    REAL NOT NULL,
        started    REAL,
        finished   REAL,
        exit_code  INTEGER,
        boot_id    TEXT,
        pid        INTEGER,
        start_time INTEGER,
        error      TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID""",
    "CREATE INDEX containers_image ON containers(image_id)",
)

FOLDER = "containers"  # of the store, with a folder per container that has a log
_COLUMNS = (
    "id, name, image_id, image_name, layer_id, settings, created, started, finished, exit_code,"
    " boot_id, pid, start_time, error"
)


class ContainerRow(NamedTuple):
    """One row; times in seconds since the epoch, `settings` a JSON text of how to run it.

    `pid` and `start_time` (in clock ticks since boot, proc(5)) name the process while it runs.
    """

    id: ContainerID
    name: str
    image_id: ImageID
    image_name: str
    layer_id: LayerID
    settings: str
    created: float
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    boot_id: str | None = None
    pid: int | None = None
    start_time: int | None = None
    error: str = ""


def _row(values: tuple[str, ...]) -> ContainerRow:
    row = ContainerRow(*values)  # type: ignore[arg-type]  # SQLite gives the declared types
    return row._replace(
        id=ContainerID(row.id), image_id=ImageID(row.image_id), layer_id=LayerID(row.layer_id)
    )


def add(db: sqlite3.Connection, row: ContainerRow) -> None:
    """Record a container and take over its staged read-write layer, in one transaction."""
    db.execute(
        f"INSERT INTO containers({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    layers.publish(db, row.layer_id, diff_id=None, chain_id=None, size=0, entries=0)
    refs.add(db, refs.CONTAINER, row.id, row.layer_id)
    refs.add(db, refs.CONTAINER, row.id, row.image_id)
    _tell(db, row, "create")


def remove(db: sqlite3.Connection, row: ContainerRow) -> None:
    """Drop a container's row and its claims; its layer is then unreachable, its folder doomed."""
    refs.doom_folder(db, FOLDER, row.id)
    volumes.doom_with(db, row.id)
    db.execute("DELETE FROM containers WHERE id = ?", (row.id,))
    refs.drop_owner(db, refs.CONTAINER, row.id)
    refs.drop_owner(db, refs.VOLUME, row.id)
    _tell(db, row, "destroy")


def _tell(db: sqlite3.Connection, row: ContainerRow, action: str, **more: str) -> None:
    from lamina.metadata import events  # who looks at containers tells of none

    events.of_container(db, row, action, more)


def all_rows(db: sqlite3.Connection) -> list[ContainerRow]:
    """Every container, newest first."""
    found = db.execute(f"SELECT {_COLUMNS} FROM containers ORDER BY created DESC, id")
    return [_row(values) for values in found]


def find(db: sqlite3.Connection, text: str) -> list[ContainerRow]:
    """The containers that `text` may mean: a full name or ID alone, else an ID prefix."""
    exact = db.execute(
        f"SELECT {_COLUMNS} FROM containers WHERE name = ? OR id = ?", (text, text)
    ).fetchall()
    if exact:
        return [_row(values) for values in exact]
    if not text or not frozenset("0123456789abcdef").issuperset(text):
        return []
    found = db.execute(
        f"SELECT {_COLUMNS} FROM containers WHERE id >= ? AND id < ? ORDER BY id",
        (text, text + "g"),
    )
    return [_row(values) for values in found]


def get(db: sqlite3.Connection, container: ContainerID) -> ContainerRow | None:
    """The container of that ID."""
    found = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE id = ?", (container,)).fetchone()
    return None if found is None else _row(found)


def of_layer(db: sqlite3.Connection, layer: str) -> ContainerRow | None:
    """The container whose read-write layer that is."""
    found = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE layer_id = ?", (layer,)).fetchone()
    return None if found is None else _row(found)


def begun(db: sqlite3.Connection) -> list[ContainerRow]:
    """The containers whose last run has no end written down."""
    found = db.execute(f"SELECT {_COLUMNS} FROM containers WHERE pid IS NOT NULL")
    return [_row(values) for values in found]


def users_of(db: sqlite3.Connection, image: ImageID) -> list[ContainerRow]:
    """The containers made from `image`."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM containers WHERE image_id = ? ORDER BY created", (image,)
    )
    return [_row(values) for values in found]


def mark_started(
    db: sqlite3.Connection,
    container: ContainerID,
    *,
    started: float,
    boot_id: str,
    pid: int,
    start_time: int,
) -> None:
    """The container's process runs now."""
    db.execute(
        "UPDATE containers SET started = ?, finished = NULL, exit_code = NULL, boot_id = ?,"
        " pid = ?, start_time = ?, error = '' WHERE id = ?",
        (started, boot_id, pid, start_time, container),
    )


def mark_exited(
    db: sqlite3.Connection,
    container: ContainerID,
    *,
    finished: float,
    exit_code: int,
    error: str = "",
) -> None:
    """The container's process is gone; `exit_code` as a shell shows it."""
    db.execute(
        "UPDATE containers SET finished = ?, exit_code = ?, boot_id = NULL, pid = NULL,"
        " start_time = NULL, error = ? WHERE id = ?",
        (finished, exit_code, error, container),
    )


def mark_begun(db: sqlite3.Connection, container: ContainerID, started: float) -> None:
    """The container's last run began then."""
    db.execute("UPDATE containers SET started = ? WHERE id = ?", (started, container))


def give_layer(db: sqlite3.Connection, row: ContainerRow, layer: LayerID) -> None:
    """Let a container go on with another, staged read-write layer, and let go of its old one."""
    layers.publish(db, layer, diff_id=None, chain_id=None, size=0, entries=0)
    db.execute("UPDATE containers SET layer_id = ? WHERE id = ?", (layer, row.id))
    refs.drop(db, refs.CONTAINER, row.id, [row.layer_id])
    refs.add(db, refs.CONTAINER, row.id, layer)


def lease_to(
    db: sqlite3.Connection, row: ContainerRow, lease: LeaseID, from_: LeaseID | None
) -> None:
    """Have a container removed when `lease` dies, and no longer when `from_` does."""
    refs.add(db, refs.LEASE, lease, row.layer_id)
    if from_ is not None:
        refs.drop(db, refs.LEASE, from_, [row.layer_id])


def set_settings(db: sqlite3.Connection, row: ContainerRow, settings: str) -> None:
    """Let a container be run otherwise from now on."""
    db.execute("UPDATE containers SET settings = ? WHERE id = ?", (settings, row.id))
    _tell(db, row, "update")


def rename(db: sqlite3.Connection, row: ContainerRow, name: str) -> None:
    """Give a container another name."""
    db.execute("UPDATE containers SET name = ? WHERE id = ?", (name, row.id))
    _tell(db, row._replace(name=name), "rename", oldName=f"/{row.name}")
