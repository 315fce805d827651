"""Rows of layers: what each is, whose it is while it is being made, and what is below it.

`kind`: `committed` (immutable, part of chains) or `active` (one process's or container's
read-write layer). `state`: `staging` (its lease's owner is making it) to `ready` to `removing`.
A staging or removing row is the intent that recovery finishes or undoes.

`below` is the layer below in a chain, `parent` what the driver's object stands on, which keeps it
alive. They are the same but for a version (`lamina.layers.versions`): it stands on an earlier one
of itself, which stands on what is below them both.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from lamina.errors import LayerNotFound
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID, LeaseID

SCHEMA = (
    """CREATE TABLE layers(
        id       TEXT PRIMARY KEY,
        driver   TEXT NOT NULL,
        kind     TEXT NOT NULL CHECK (kind IN ('committed', 'active')),
        state    TEXT NOT NULL CHECK (state IN ('staging', 'ready', 'removing')),
        parent   TEXT REFERENCES layers(id),
        below    TEXT REFERENCES layers(id),
        diff_id  TEXT,
        chain_id TEXT,
        size     INTEGER NOT NULL DEFAULT 0,
        entries  INTEGER NOT NULL DEFAULT 0,
        written  INTEGER,
        created  REAL NOT NULL,
        lease    TEXT,
        boot_id  TEXT
    ) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX layers_chain ON layers(chain_id) WHERE state = 'ready'",
    "CREATE INDEX layers_parent ON layers(parent)",
    "CREATE INDEX layers_below ON layers(below)",
    "CREATE INDEX layers_diff ON layers(diff_id)",
    "CREATE INDEX layers_unsettled ON layers(state) WHERE state <> 'ready'",
    "CREATE INDEX layers_undurable ON layers(boot_id) WHERE boot_id IS NOT NULL",
)

FROM_1 = (
    "ALTER TABLE layers ADD COLUMN below TEXT REFERENCES layers(id)",
    "ALTER TABLE layers ADD COLUMN written INTEGER",
    "UPDATE layers SET below = parent",
    "CREATE INDEX layers_below ON layers(below)",
)
"""What makes the table of format 1 that of format 2."""

_COLUMNS = (
    "id, driver, kind, state, parent, diff_id, chain_id, size, entries, created, lease, below,"
    " written"
)


class LayerRow(NamedTuple):
    """One row; `size` in apparent bytes, `created` in seconds since the epoch.

    `written` is what of the size is its own where it stands on an earlier version; else None.
    """

    id: LayerID
    driver: str
    kind: str
    state: str
    parent: LayerID | None
    diff_id: DiffID | None
    chain_id: ChainID | None
    size: int
    entries: int
    created: float
    lease: LeaseID | None
    below: LayerID | None
    written: int | None


def _row(values: tuple[object, ...]) -> LayerRow:
    (id_, driver, kind, state, parent, diff_id, chain_id, size, entries, *rest) = values
    created, lease, below, written = rest
    return LayerRow(
        LayerID(str(id_)),
        str(driver),
        str(kind),
        str(state),
        LayerID(str(parent)) if parent is not None else None,
        DiffID(str(diff_id)) if diff_id is not None else None,
        ChainID(str(chain_id)) if chain_id is not None else None,
        int(str(size)),
        int(str(entries)),
        float(str(created)),
        LeaseID(str(lease)) if lease is not None else None,
        LayerID(str(below)) if below is not None else None,
        int(str(written)) if written is not None else None,
    )


def stage(
    db: sqlite3.Connection,
    layer: LayerID,
    *,
    driver: str,
    kind: str,
    below: LayerID | None,
    lease: LeaseID,
    created: float,
    boot_id: str,
    version_of: LayerID | None = None,
) -> None:
    """Write down the intent to make `layer`; must be committed before the driver makes it.

    `version_of` is what it stands on instead of what is `below`.
    """
    db.execute(
        "INSERT INTO layers(id, driver, kind, state, parent, below, created, lease, boot_id)"
        " VALUES (?, ?, ?, 'staging', ?, ?, ?, ?, ?)",
        (layer, driver, kind, version_of or below, below, created, lease, boot_id),
    )


def publish(
    db: sqlite3.Connection,
    layer: LayerID,
    *,
    diff_id: DiffID | None,
    chain_id: ChainID | None,
    size: int,
    entries: int,
    written: int | None = None,
) -> None:
    """Make a staging layer ready: `committed` when it has a chain ID, else `active`."""
    db.execute(
        "UPDATE layers SET state = 'ready', lease = NULL, diff_id = ?, chain_id = ?, size = ?,"
        " entries = ?, written = ?, kind = ? WHERE id = ?",
        (diff_id, chain_id, size, entries, written, "committed" if chain_id else "active", layer),
    )


def doom(db: sqlite3.Connection, layers: Iterable[LayerID], lease: LeaseID | None) -> None:
    """Mark layers as being removed by the holder of `lease`."""
    db.executemany(
        "UPDATE layers SET state = 'removing', lease = ? WHERE id = ?",
        [(lease, layer) for layer in layers],
    )


def forget(db: sqlite3.Connection, layer: LayerID) -> None:
    """Drop the row of a layer whose files are gone."""
    db.execute("DELETE FROM layers WHERE id = ?", (layer,))


def by_id(db: sqlite3.Connection, layer: LayerID) -> LayerRow:
    """The row of `layer`; raises `LayerNotFound`."""
    found = db.execute(f"SELECT {_COLUMNS} FROM layers WHERE id = ?", (layer,)).fetchone()
    if found is None:
        raise LayerNotFound(f"no layer {layer.short} in this store")
    return _row(found)


def is_ready(db: sqlite3.Connection, layer: LayerID) -> bool:
    """Whether a layer is there and stays."""
    found = db.execute("SELECT 1 FROM layers WHERE id = ? AND state = 'ready'", (layer,))
    return found.fetchone() is not None


def by_chain(db: sqlite3.Connection, chain_id: ChainID) -> LayerRow | None:
    """The ready layer of that chain ID, if there is one."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM layers WHERE chain_id = ? AND state = 'ready'", (chain_id,)
    ).fetchone()
    return _row(found) if found is not None else None


def ready(db: sqlite3.Connection) -> list[LayerRow]:
    """Every ready layer, oldest first."""
    found = db.execute(f"SELECT {_COLUMNS} FROM layers WHERE state = 'ready' ORDER BY created, id")
    return [_row(values) for values in found]


def unsettled(db: sqlite3.Connection) -> list[LayerRow]:
    """Every layer in `staging` or `removing`, children before their parents."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM layers WHERE state <> 'ready' ORDER BY created DESC, id"
    )
    return [_row(values) for values in found]


def undurable_of_other_boots(db: sqlite3.Connection, boot_id: str) -> list[LayerRow]:
    """Layers that no barrier covered before the machine went down, newest first."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM layers WHERE boot_id IS NOT NULL AND boot_id <> ?"
        " AND kind = 'committed' AND state <> 'removing' ORDER BY created DESC, id",
        (boot_id,),
    )
    return [_row(values) for values in found]


def undurable(db: sqlite3.Connection) -> list[LayerID]:
    """The committed layers that are ready and that no barrier has covered yet."""
    found = db.execute(
        "SELECT id FROM layers WHERE boot_id IS NOT NULL AND state = 'ready' AND kind = 'committed'"
    )
    return [LayerID(layer) for (layer,) in found]


def mark_durable(db: sqlite3.Connection, layers: Iterable[LayerID]) -> None:
    """Say that these layers survive a power cut; they were ready before the barrier began."""
    db.executemany("UPDATE layers SET boot_id = NULL WHERE id = ?", [(each,) for each in layers])


def is_idle(db: sqlite3.Connection, target: str) -> bool:
    """Whether a ready layer, by its chain ID or its own, has no reference and none upon it."""
    found = db.execute(
        "SELECT 1 FROM layers AS one WHERE (chain_id = ? OR id = ?) AND state = 'ready'"
        " AND NOT EXISTS (SELECT 1 FROM refs WHERE target IN (one.chain_id, one.id))"
        " AND NOT EXISTS (SELECT 1 FROM layers WHERE parent = one.id)",
        (target, target),
    ).fetchone()
    return found is not None


def unreachable(db: sqlite3.Connection) -> list[LayerRow]:
    """Ready layers that nothing refers to and nothing stands on, children first."""
    found = db.execute(
        f"""WITH RECURSIVE held(id) AS (
              SELECT id FROM layers WHERE id IN (SELECT target FROM refs)
                 OR (chain_id IN (SELECT target FROM refs) AND state = 'ready')
                 OR state <> 'ready'
              UNION
              SELECT layers.parent FROM layers JOIN held ON layers.id = held.id
               WHERE layers.parent IS NOT NULL
            )
            SELECT {_COLUMNS} FROM layers
             WHERE state = 'ready' AND id NOT IN (SELECT id FROM held)
             ORDER BY created DESC, id"""
    )
    return children_first([_row(values) for values in found])


def has_users(db: sqlite3.Connection, chain_id: ChainID) -> bool:
    """Whether an image or a container has that chain (not the build cache, nor a version)."""
    found = db.execute(
        """WITH RECURSIVE held(id) AS (
              SELECT id FROM layers WHERE state = 'ready' AND
                (id IN (SELECT target FROM refs WHERE kind IN ('image', 'container'))
                 OR chain_id IN (SELECT target FROM refs WHERE kind IN ('image', 'container')))
              UNION
              SELECT layers.below FROM layers JOIN held ON layers.id = held.id
               WHERE layers.below IS NOT NULL
            )
            SELECT 1 FROM held JOIN layers ON layers.id = held.id
             WHERE layers.chain_id = ? LIMIT 1""",
        (chain_id,),
    ).fetchone()
    return found is not None


def children_first(rows: list[LayerRow]) -> list[LayerRow]:
    """Order rows so that no layer comes before one that stands on it."""
    by_identity = {row.id: row for row in rows}
    depth: dict[LayerID, int] = {}
    for row in rows:
        trail = []
        at: LayerRow | None = row
        while at is not None and at.id not in depth:
            trail.append(at.id)
            at = by_identity.get(at.parent) if at.parent is not None else None
        below = depth[at.id] if at is not None else 0
        for layer in reversed(trail):
            below += 1
            depth[layer] = below
    return sorted(rows, key=lambda row: (-depth[row.id], row.id))


def with_descendants(db: sqlite3.Connection, tops: Iterable[LayerID]) -> list[LayerRow]:
    """Those layers and all that stand on them, children first."""
    found: dict[LayerID, LayerRow] = {}
    waiting = list(tops)
    while waiting:
        row = by_id(db, waiting.pop())
        if row.id in found:
            continue
        found[row.id] = row
        children = db.execute("SELECT id FROM layers WHERE parent = ?", (row.id,)).fetchall()
        waiting.extend(LayerID(child) for (child,) in children)
    return children_first(list(found.values()))


def note_diff(db: sqlite3.Connection, layer: LayerID, diff_id: DiffID) -> None:
    """Write down whose index file a staging layer is about to put in place."""
    db.execute("UPDATE layers SET diff_id = ? WHERE id = ?", (diff_id, layer))


def diff_in_use(db: sqlite3.Connection, diff_id: DiffID) -> bool:
    """Whether any row, in any state, has this diff ID (its index file must stay)."""
    found = db.execute("SELECT 1 FROM layers WHERE diff_id = ? LIMIT 1", (diff_id,)).fetchone()
    return found is not None


def counts_by_driver(db: sqlite3.Connection) -> dict[str, int]:
    """How many layer rows each driver has: the prior state that selection asks for."""
    return dict(db.execute("SELECT driver, count(*) FROM layers GROUP BY driver"))
