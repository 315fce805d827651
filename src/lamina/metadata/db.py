"""The database of a store: opening it, its transactions, and when they are durable.

Short transactions from many processes: writers and checkpoints are serialised by one file
lock, because SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two connections checkpoint at once
(fixed in 3.51.3). Readers take no lock.

Two kinds of commit: an ordinary one survives a killed process, a durable one (`durable=True`)
also a power cut, and with it everything committed before. Nothing here decides which rows are
worth the second.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import DiskFull, ForeignStore, ReadOnlyStore, StorageError, StoreDamaged
from lamina.fs.atomic import unlink_if_there
from lamina.fs.locks import FileLock, Rank
from lamina.metadata import reserve

APPLICATION_ID = 0x4C616D69  # "Lami"
SCHEMA_VERSION = 2
_BUSY_TIMEOUT = 10.0  # seconds; our own lock already serialises writers
_CHECKPOINT_BYTES = 4 << 20  # a WAL larger than this is folded in by the writer that sees it

COMPANIONS = ("-journal", "-wal", "-shm")  # what SQLite lays beside a database, at one time


class Database:
    """One connection to `lamina.db`, for one thread at a time; not to be used over a fork.

    A transaction has the connection to itself: other threads of this process wait for its end.
    `lock_path` is the file that writers of all processes lock. Raises `StoreDamaged` when the
    file is no database and `ForeignStore` when it was written by a newer Lamina.
    """

    def __init__(self, path: str, lock_path: str) -> None:
        self.path = path
        self._lock = FileLock(lock_path, Rank.DATABASE)
        self._pid = os.getpid()
        self._turn = threading.RLock()  # always taken before the lock between processes
        try:
            self._connection = _connect(path)
            self._check_version()
            reserve.fill_holes(f"{path}-shm")
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error

    @classmethod
    def create(cls, path: str, lock_path: str, meta: dict[str, str]) -> "Database":
        """Make a new database holding `meta`; it becomes visible complete or not at all."""
        from lamina.metadata.schema import SCHEMA  # once in a store's life

        fresh = f"{path}.new"
        _remove_database(fresh)
        try:
            connection = _connect(fresh)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error
        _remove_database(path)  # an unpublished earlier try; its WAL must not meet our file
        os.chmod(fresh, 0o600)  # its WAL takes after it; settings of containers hold secrets
        os.rename(fresh, path)
        return cls(path, lock_path)

    def _check_version(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StoreDamaged(
                f"{self.path} is not a database of Lamina", hint="restore it from a backup"
            )
        if version > SCHEMA_VERSION:
            raise ForeignStore(
                f"{self.path} has format {version}, and this Lamina knows formats up to "
                f"{SCHEMA_VERSION}",
                hint="use the newer Lamina that wrote it",
            )

    @property
    def is_outdated(self) -> bool:
        """Whether an older Lamina wrote it: `bring_up_to_date` comes before all else then."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return bool(version < SCHEMA_VERSION)

    def bring_up_to_date(self) -> None:
        """Make what an older Lamina wrote the format of this one, unless somebody just did.

        For who has the store to himself: an older process would go on in its own format.
        """
        from lamina.metadata.schema import FROM_1  # once in a store's life

        with self.write(durable=True) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                for statement in FROM_1:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view of the whole database for as long as the block lasts."""
        connection = self._mine()
        with self._turn:
            outermost = not connection.in_transaction
            try:
                if outermost:
                    connection.execute("BEGIN")
                yield connection
            except sqlite3.DatabaseError as error:
                raise _translate(error, self.path) from error
            finally:
                if outermost:
                    _give_up(connection)

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block or, when it raises, none of it.

        With `durable`, it and all before it survive a power cut once the block is left.
        """
        connection = self._mine()
        with self._turn, self._lock.exclusive():
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                raise _translate(error, self.path) from error
            finally:
                _give_up(connection)
            self._fold_wal(connection)

    def _fold_wal(self, connection: sqlite3.Connection) -> None:
        try:
            if os.stat(f"{self.path}-wal").st_size > _CHECKPOINT_BYTES:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (OSError, sqlite3.DatabaseError):
            return  # a later writer folds it in; nothing is lost meanwhile

    def _mine(self) -> sqlite3.Connection:
        if os.getpid() != self._pid:
            raise StorageError(
                "a store was used in a forked process", hint="open it again in the child"
            )
        return self._connection

    def await_writer(self) -> None:
        """Wait until whoever writes just now has committed, or given up.

        The kernel tells of a write to the log before the transaction in it can be seen.
        """
        with self._turn, self._lock.exclusive():
            pass

    def complaints(self) -> list[str]:
        """What SQLite itself finds wrong in the file; nothing when it is sound."""
        with self.read() as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(10)")]
        return [] if found == ["ok"] else found

    def meta(self) -> dict[str, str]:
        """All of the store's own facts (`uuid`, `driver`, `generation` ...)."""
        with self.read() as connection:
            return dict(connection.execute("SELECT key, value FROM meta"))

    def close(self) -> None:
        """Close; the last to close folds the WAL in, hence under the writers' lock."""
        if os.getpid() != self._pid:
            return
        with self._turn, self._lock.exclusive():
            self._connection.close()


def _give_up(connection: sqlite3.Connection) -> None:
    """End a transaction that is still open; an error of the block itself is what counts."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError:
        pass  # SQLite has ended it already, or the next one says what is wrong


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write one of the store's own facts."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _remove_database(path: str) -> None:
    for suffix in ("", *COMPANIONS):
        unlink_if_there(path + suffix)


def _translate(error: sqlite3.DatabaseError, path: str) -> StorageError:
    words = str(error)
    if "full" in words:
        return DiskFull(
            f"writing {path}: {words}", hint="free some space (`lamina prune`) and try again"
        )
    if "readonly" in words:
        return ReadOnlyStore(f"writing {path}: {words}", hint="remount it read-write")
    if any(each in words for each in ("not a database", "malformed", "no such")):
        return StoreDamaged(f"{path}: {words}", hint="restore it from a backup")
    return StorageError(f"database {path}: {words}")
