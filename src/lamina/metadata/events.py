"""What happened: lifecycle events in docker's words, written with what they tell of.

The table comes with the first event and is bounded in number: the oldest go. Labels that are too
long for it are left out. Knows no follower: whoever wants to hear looks here again (`after`).
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

_TABLE = """CREATE TABLE IF NOT EXISTS events(
    id         INTEGER PRIMARY KEY,
    time       INTEGER NOT NULL,
    type       TEXT NOT NULL,
    action     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    attributes TEXT NOT NULL
)"""
KEPT = 4096
_SPARE = 256  # so many more before the oldest go: not every event pays for a removal
_LABELS = 4096  # bytes of all labels together
_ACTION = 4096  # characters; a command that is executed is part of it
_SECOND = 1_000_000_000

Kind = Literal["container", "image", "volume"]


class LifecycleEvent(NamedTuple):
    """One event: `id` is its place in the order, `time` in nanoseconds since the epoch.

    `type`, `action`, `actor` (an ID or a name) and `attributes` are docker's.
    """

    id: int
    time: int
    type: str
    action: str
    actor: str
    attributes: Mapping[str, str]


class _Container(Protocol):
    """What is told of a container, of its row."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def image_name(self) -> str: ...
    @property
    def settings(self) -> str: ...


def tell(
    db: sqlite3.Connection,
    kind: Kind,
    action: str,
    actor: str,
    attributes: Mapping[str, str],
    at: float | None = None,
) -> None:
    """Write an event down, in the caller's transaction; `at` in seconds since the epoch (now)."""
    db.execute(_TABLE)
    when = time.time_ns() if at is None else round(at * _SECOND)
    facts = (when, kind, action[:_ACTION], actor, json.dumps(attributes))
    done = db.execute(
        "INSERT INTO events(time, type, action, actor, attributes) VALUES (?, ?, ?, ?, ?)", facts
    )
    if done.lastrowid is not None and done.lastrowid % _SPARE == 0:
        db.execute("DELETE FROM events WHERE id <= ?", (done.lastrowid - KEPT,))


def of_container(
    db: sqlite3.Connection,
    row: _Container,
    action: str,
    more: Mapping[str, str] | None = None,
    at: float | None = None,
) -> None:
    """Write down what happened to a container, with its labels, its image and its name."""
    labels = _fitting(dict(json.loads(row.settings).get("labels", ())))
    about = {**labels, "image": row.image_name, "name": row.name, **(more or {})}
    tell(db, "container", action, row.id, about, at)


def of_image(
    db: sqlite3.Connection, action: str, image: str, name: str, labels: str = "{}"
) -> None:
    """Write down what happened to an image; `labels` as the JSON text of its row."""
    tell(db, "image", action, image, {**_fitting(json.loads(labels)), "name": name})


def _fitting(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Nothing where there is too much: an image's labels are a stranger's."""
    size = sum(len(key) + len(value) for key, value in labels.items())
    return labels if size <= _LABELS else {}


def is_told(db: sqlite3.Connection, actor: str, action: str, since: float) -> bool:
    """Whether that was written down of somebody since then (seconds since the epoch)."""
    if not _is_there(db):
        return False
    found = db.execute(
        "SELECT 1 FROM events WHERE actor = ? AND action = ? AND time >= ?"
        " ORDER BY id DESC LIMIT 1",
        (actor, action, round(since * _SECOND)),
    )
    return found.fetchone() is not None


def last_of(db: sqlite3.Connection, actor: str, actions: Sequence[str], beginning: str) -> int:
    """When (nanoseconds) the last of these actions, or of those that so begin, was told of it."""
    if not _is_there(db):
        return 0
    marks = ", ".join("?" * len(actions))
    (last,) = db.execute(
        "SELECT max(time) FROM events WHERE actor = ?"
        f" AND (action IN ({marks}) OR action LIKE ? || '%')",
        (actor, *actions, beginning),
    ).fetchone()
    return int(last or 0)


def newest(db: sqlite3.Connection) -> int:
    """The place of the last event; 0 when there is none."""
    if not _is_there(db):
        return 0
    (last,) = db.execute("SELECT max(id) FROM events").fetchone()
    return int(last or 0)


def after(db: sqlite3.Connection, last: int) -> Sequence[LifecycleEvent]:
    """The events behind that place, in order."""
    if not _is_there(db):
        return ()
    found = db.execute(
        "SELECT id, time, type, action, actor, attributes FROM events WHERE id > ? ORDER BY id",
        (last,),
    )
    return [
        LifecycleEvent(id_, time, kind, action, actor, json.loads(attributes))
        for id_, time, kind, action, actor, attributes in found
    ]


def _is_there(db: sqlite3.Connection) -> bool:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'")
    return found.fetchone() is not None
