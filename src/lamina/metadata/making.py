"""A new store in an empty directory: its identity, written last, and what must not be there before.

Knows which files a root has; knows nothing of opening or using a store.
"""

import os

from lamina.errors import ForeignStore, LockHeld, StoreDamaged
from lamina.fs.atomic import unlink_if_there, write_file
from lamina.fs.locks import FileLock, Rank
from lamina.metadata import reserve
from lamina.metadata.db import COMPANIONS, Database
from lamina.metadata.identity import FORMAT, LOCK, RESERVE, Identity

_FOLDERS = ("blobs", "index", "containers", "volumes", "staging", "trash", "quarantine")
_MAKING = 0.1  # seconds between looks whether another process has made the store


def make(path: str) -> None:
    """Make the store, unless another process is first; raises `ForeignStore` or `StoreDamaged`."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    _refuse_strangers(path)  # before the lock file, which would be one more thing in their midst
    lock = FileLock(os.path.join(path, LOCK), Rank.STORE)
    if not _wait_to_make(path, lock):
        return
    try:
        if os.path.lexists(os.path.join(path, "store")):
            return  # another process was first
        _refuse_strangers(path)
        os.chmod(path, 0o700)  # also one that was there: what is inside is nobody else's
        reserve.give_back(path, os.path.join(path, RESERVE))
        for name in _FOLDERS:
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        os.makedirs(os.path.join(path, "locks"), mode=0o700, exist_ok=True)
        identity = Identity(_new_uuid(), FORMAT, 0)
        database = Database.create(
            os.path.join(path, "lamina.db"),
            os.path.join(path, "locks", "database"),
            {"uuid": identity.uuid, "format": str(FORMAT), "generation": "0"},
        )
        database.close()
        _write_identity(path, identity)
    finally:
        lock.release()


def _wait_to_make(path: str, lock: FileLock) -> bool:
    """Take the lock, unless another makes the store: whoever did that may hold it for hours."""
    while True:
        try:
            lock.acquire(timeout=_MAKING)
        except LockHeld:
            if os.path.lexists(os.path.join(path, "store")):
                return False
        else:
            return True


def _write_identity(path: str, identity: Identity) -> None:
    """Last of all, and under the lock: what an earlier, killed try left is ours to replace."""
    temporary = os.path.join(path, "staging", "store")
    unlink_if_there(temporary)
    target = os.path.join(path, "store")
    write_file(target, identity.text(), mode=0o600, durable=True, temporary=temporary)


def _refuse_strangers(path: str) -> None:
    ours = {*_FOLDERS, "locks", LOCK, "lost+found", RESERVE}
    ours |= {f"lamina.db{made}{suffix}" for made in ("", ".new") for suffix in ("", *COMPANIONS)}
    names = set(os.listdir(path))
    if "store" in names:
        return  # another process was first
    strangers = sorted(names - ours)
    if strangers and os.path.lexists(os.path.join(path, "lamina.db")):
        raise StoreDamaged(
            f"{path} holds the database of a store but not its identity, the file `store`",
            hint="restore it from a backup",
        )
    if strangers:
        raise ForeignStore(
            f"{path} is not a Lamina store and is not empty (it holds {strangers[0]!r})",
            hint="choose an empty directory with --root",
        )
    occupied = [name for name in ("blobs", "index") if _has_entries(os.path.join(path, name))]
    if occupied:
        raise StoreDamaged(
            f"{path} holds layers or blobs but neither its identity nor its database",
            hint="restore `store` and `lamina.db` from a backup, or choose another --root",
        )


def _has_entries(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except FileNotFoundError:
        return False


def _new_uuid() -> str:
    text = os.urandom(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
