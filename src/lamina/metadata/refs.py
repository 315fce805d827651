"""References: the only roots that garbage collection reads.

A reference says that an owner (an image, a container, a cache record, a live lease) needs a
target (a chain ID, a layer ID or a blob digest). What no reference reaches may go. What is half
fetched is needed until some time has passed.
"""

import sqlite3
from collections.abc import Iterable

from lamina.errors import UsageError
from lamina.values.ids import LeaseID

SCHEMA = (
    """CREATE TABLE refs(
        kind   TEXT NOT NULL,
        owner  TEXT NOT NULL,
        target TEXT NOT NULL,
        PRIMARY KEY (kind, owner, target)
    ) WITHOUT ROWID""",
    "CREATE INDEX refs_target ON refs(target)",
)

IMAGE, CONTAINER, CACHE, LEASE = "image", "container", "cache", "lease"
ANNOTATED = "annotated"  # of an image: the manifest that a build annotated for it
VOLUME = "volume"  # of a container: the volumes it uses, by name
INGEST = "ingest"  # of a blob that is being fetched: kept for the next try; owner is the time
_DOOMED = "doomed"  # a folder beneath the root that is to go; owner is the folder it lies in
_GARBAGE = "garbage"  # the target of a lease that took references away and has yet to collect


def add(db: sqlite3.Connection, kind: str, owner: str, target: str) -> None:
    """Say that `owner` needs `target`; saying it twice changes nothing."""
    db.execute("INSERT OR IGNORE INTO refs VALUES (?, ?, ?)", (kind, owner, target))


def drop(db: sqlite3.Connection, kind: str, owner: str, targets: Iterable[str]) -> None:
    """Say that `owner` no longer needs these targets."""
    db.executemany(
        "DELETE FROM refs WHERE kind = ? AND owner = ? AND target = ?",
        [(kind, owner, target) for target in targets],
    )


def drop_owner(db: sqlite3.Connection, kind: str, owner: str) -> None:
    """Drop all that `owner` needs."""
    db.execute("DELETE FROM refs WHERE kind = ? AND owner = ?", (kind, owner))


def drop_target(db: sqlite3.Connection, kind: str, target: str) -> None:
    """Drop every claim of that kind on `target`."""
    db.execute("DELETE FROM refs WHERE kind = ? AND target = ?", (kind, target))


def note_garbage(db: sqlite3.Connection, lease: LeaseID) -> None:
    """Write down, with what takes references away, that something may have to be collected."""
    add(db, LEASE, lease, _GARBAGE)


def notes_garbage(db: sqlite3.Connection, lease: LeaseID) -> bool:
    """Whether that was written down and is not done yet."""
    return _GARBAGE in targets(db, LEASE, lease)


def forget_garbage(db: sqlite3.Connection, lease: LeaseID) -> None:
    """Say that it is collected."""
    drop(db, LEASE, lease, [_GARBAGE])


def owners(db: sqlite3.Connection, kind: str) -> list[str]:
    """Every owner of that kind."""
    found = db.execute("SELECT DISTINCT owner FROM refs WHERE kind = ? ORDER BY owner", (kind,))
    return [owner for (owner,) in found]


def owners_of(db: sqlite3.Connection, kind: str, target: str) -> list[str]:
    """The owners of that kind that need `target`."""
    found = db.execute(
        "SELECT owner FROM refs WHERE target = ? AND kind = ? ORDER BY owner", (target, kind)
    )
    return [owner for (owner,) in found]


def targets(db: sqlite3.Connection, kind: str, owner: str) -> list[str]:
    """What `owner` needs."""
    found = db.execute(
        "SELECT target FROM refs WHERE kind = ? AND owner = ? ORDER BY target", (kind, owner)
    )
    return [target for (target,) in found]


def doom_folder(db: sqlite3.Connection, parent: str, name: str) -> None:
    """Write down, with what drops the last row that needs a folder, that it is to go."""
    add(db, _DOOMED, parent, name)


def doomed_folders(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every folder that is to go: the one it lies in, and its name."""
    found = db.execute("SELECT owner, target FROM refs WHERE kind = ?", (_DOOMED,))
    return [(str(parent), str(name)) for parent, name in found]


def forget_folder(db: sqlite3.Connection, parent: str, name: str) -> None:
    """Say that it is gone."""
    drop(db, _DOOMED, parent, [name])


def lease_id(owner: str) -> LeaseID | None:
    """The lease that an owner's text names, if it is one."""
    try:
        return LeaseID(owner)
    except UsageError:
        return None
