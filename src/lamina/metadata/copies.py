"""Rows of a move to another driver: which layers have a second body, and how far it has come.

A move is one fact in `meta`, under `migration`; the table `copies` is there for as long as that
fact is. While it is `copying`, a row stands for a body on the new driver: its state is `making`
until the body was verified, and `ready` from then on. One transaction switches the store; then
the move is `leaving`, and each row stands for a body on the old driver that is to go.
`abandoning` is the other end: each row is a body on the new driver that is to go. A row is
written before its body is made and dropped after it is gone.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Literal, NamedTuple

from lamina.errors import StoreDamaged
from lamina.values.ids import LayerID

Phase = Literal["copying", "leaving", "abandoning"]
_KEY = "migration"
_TABLE = """CREATE TABLE IF NOT EXISTS copies(
        number  INTEGER PRIMARY KEY AUTOINCREMENT,
        layer   TEXT NOT NULL UNIQUE,
        state   TEXT NOT NULL CHECK (state IN ('making', 'ready')),
        mark    TEXT NOT NULL DEFAULT '',
        boot_id TEXT
    )"""


class Migration(NamedTuple):
    """From which driver to which, each with its `KEY=VALUE` options, and how far it is.

    `features` are what trying the new driver found, by which it writes its layers.
    """

    source: str
    target: str
    source_options: tuple[str, ...]
    target_options: tuple[str, ...]
    phase: Phase
    features: tuple[tuple[str, str], ...] = ()

    @property
    def used(self) -> str:
        """The driver that the store's layers are on."""
        return self.target if self.phase == "leaving" else self.source

    @property
    def doomed(self) -> str:
        """The driver whose bodies are to go; of one that is copying, should it be abandoned."""
        return self.source if self.phase == "leaving" else self.target

    @property
    def doomed_options(self) -> tuple[str, ...]:
        """The options that driver was used with."""
        return self.source_options if self.phase == "leaving" else self.target_options


class Copy(NamedTuple):
    """One body beside that of the layer's own row.

    `mark` tells in which state a read-write layer was copied.
    """

    layer: LayerID
    state: str
    mark: str


def current(meta: dict[str, str]) -> Migration | None:
    """The move that the store's facts tell of, if one is under way."""
    text = meta.get(_KEY)
    if text is None:
        return None
    try:
        source, target, source_options, target_options, phase, features = json.loads(text)
        return Migration(
            source,
            target,
            tuple(source_options),
            tuple(target_options),
            phase,
            tuple((key, value) for key, value in features),
        )
    except (ValueError, TypeError):
        raise StoreDamaged(
            "what the database says of a migration cannot be read",
            hint="restore lamina.db from a backup",
        ) from None


def note(db: sqlite3.Connection, migration: Migration) -> None:
    """Write down that a move is under way, and how far it is."""
    db.execute(_TABLE)
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        (_KEY, json.dumps(migration)),
    )


def end(db: sqlite3.Connection) -> None:
    """Say that the move is over; no body is left that a row would have to name."""
    db.execute("DELETE FROM meta WHERE key = ?", (_KEY,))
    db.execute("DROP TABLE IF EXISTS copies")


def begin(db: sqlite3.Connection, layer: LayerID, boot_id: str) -> None:
    """Write down the intent to give `layer` a second body."""
    db.execute(
        "INSERT INTO copies(layer, state, boot_id) VALUES (?, 'making', ?)"
        " ON CONFLICT(layer) DO UPDATE SET state = 'making'",
        (layer, boot_id),
    )


def settle(db: sqlite3.Connection, layer: LayerID, mark: str) -> None:
    """Say that the second body is complete and was verified."""
    db.execute("UPDATE copies SET state = 'ready', mark = ? WHERE layer = ?", (mark, layer))


def doom(db: sqlite3.Connection, layers: Iterable[LayerID]) -> None:
    """Say that these bodies are not to be used."""
    db.executemany("UPDATE copies SET state = 'making' WHERE layer = ?", [(x,) for x in layers])


def forget(db: sqlite3.Connection, layer: LayerID) -> None:
    """Drop the row of a body that is gone."""
    db.execute("DELETE FROM copies WHERE layer = ?", (layer,))


def all_rows(db: sqlite3.Connection) -> list[Copy]:
    """Every copy, the latest first: so none comes before one that stands on it."""
    found = db.execute("SELECT layer, state, mark FROM copies ORDER BY number DESC")
    return [Copy(LayerID(layer), state, mark) for layer, state, mark in found]


def stale(db: sqlite3.Connection, boot_id: str) -> list[LayerID]:
    """Bodies that are of no use, the latest first.

    They are half made, or their layer is gone, or a power cut may have taken some of them.
    """
    found = db.execute(
        "SELECT layer FROM copies WHERE state = 'making' OR boot_id <> ?"
        " OR NOT EXISTS (SELECT 1 FROM layers WHERE id = layer AND state = 'ready')"
        " ORDER BY number DESC",
        (boot_id,),
    )
    return [LayerID(layer) for (layer,) in found]


def mark_durable(db: sqlite3.Connection, layers: Iterable[LayerID]) -> None:
    """Say that these bodies survive a power cut."""
    db.executemany("UPDATE copies SET boot_id = NULL WHERE layer = ?", [(x,) for x in layers])


def switch(db: sqlite3.Connection, migration: Migration, order: Iterable[LayerID]) -> None:
    """Let every layer's second body be its first; `order` names them, parents first.

    A second body stands on what is below in the chain.
    """
    db.execute("DELETE FROM copies")
    db.executemany("INSERT INTO copies(layer, state) VALUES (?, 'ready')", [(x,) for x in order])
    db.execute("UPDATE layers SET driver = ?, parent = below", (migration.target,))
    note(db, migration._replace(phase="leaving"))
