"""The journal of a monitor: what it tells of a container while nobody with a database looks on.

    containers/<id>/journal      lines `<seconds since the epoch> <action> [key=value ...]`
    containers/<id>/journal.1    those before them

Whoever reads events takes the lines in that he finds; each is told once.
"""

import os
import sqlite3

from lamina.fs.said import text_of
from lamina.metadata import events
from lamina.metadata.containers import ContainerRow

NAME = "journal"
_LIMIT = 1 << 17  # bytes of a file
_SECOND = 1_000_000_000
_ACTIONS = ("start", "die", "oom")


def place(folder: str) -> str:
    """Where that of a container's folder is, whether there is one or not."""
    return os.path.join(folder, NAME)


def begin(folder: str) -> str:
    """Make an empty one in a container's folder; gives its path. Raises OSError."""
    path = place(folder)
    forget(folder)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return path


def forget(folder: str) -> None:
    """Take it away; what was not taken in is lost."""
    for name in (NAME, f"{NAME}.1"):
        try:
            os.unlink(os.path.join(folder, name))
        except FileNotFoundError:
            pass


def is_there(folder: str) -> bool:
    """Whether a container's folder has one."""
    return os.path.exists(place(folder))


def has_news(db: sqlite3.Connection, row: ContainerRow, folder: str) -> bool:
    """Whether there is something to be taken in."""
    last = _last(db, row)
    return any(at > last for at, _ in _lines(folder))


def fold(db: sqlite3.Connection, row: ContainerRow, folder: str) -> None:
    """Take in what is new."""
    last = _last(db, row)
    for at, words in _lines(folder):
        if at > last:
            action, more = _parsed(words)
            events.of_container(db, row, action, more, at / _SECOND)


def _last(db: sqlite3.Connection, row: ContainerRow) -> int:
    """When the last of what a journal tells of that container was (nanoseconds)."""
    return events.last_of(db, row.id, _ACTIONS, "health_status: ")


def _lines(folder: str) -> list[tuple[int, str]]:
    text = "".join(text_of(os.path.join(folder, name), _LIMIT) for name in (f"{NAME}.1", NAME))
    found = []
    for line in text.splitlines():
        at, _, words = line.partition(" ")
        try:
            found.append((round(float(at) * _SECOND), words))
        except ValueError:
            continue  # a power cut's
    return found


def _parsed(words: str) -> tuple[str, dict[str, str]]:
    """The action, of one word or `health_status: WORD`, and its attributes."""
    said = words.split(" ")
    pairs = [each.partition("=") for each in said if "=" in each]
    action = " ".join(each for each in said if "=" not in each)
    return action, {key: value for key, _, value in pairs}
