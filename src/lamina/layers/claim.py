"""Single flight for a layer whose diff ID nobody knows before it was read.

A claim says that streams of its name give the same bytes. Whoever finds it taken waits, and then
reads in the lock's own file what its holder made; a holder that was killed, or whose source
changed under it, left no word, and the next in line does the work. The word is for those who
waited: who finds the claim free reads its source, since verification is part of reading.

Knows no file, no tar and no driver.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import LockHeld
from lamina.fs.locks import FileLock, Rank
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID

_LONGEST = 4096  # bytes of a word that are read
_LOCK_DIGITS = 3  # 4,096 lock files; two different claims that share one only wait for each other


class Held:
    """A claim in hand; `made` is what the holder before made, when it was waited for."""

    def __init__(self, path: str, name: str, *, waited: bool) -> None:
        self._path = path
        self._name = name
        self.made = self._word() if waited else None

    def _word(self) -> ChainID | None:
        try:
            with open(self._path, encoding="ascii") as file:
                name, _, chain = file.read(_LONGEST).rstrip("\n").partition(" ")
            return ChainID(chain) if name == self._name else None
        except (OSError, ValueError):
            return None

    def begin(self) -> None:
        """Take back the word of an earlier holder."""
        os.truncate(self._path, 0)

    def leave(self, chain_id: ChainID) -> None:
        """Say what was made; where that cannot be written, those who wait make it again."""
        try:
            with open(self._path, "w", encoding="ascii") as file:
                file.write(f"{self._name} {chain_id}\n")
        except OSError:
            return


@contextmanager
def taken(root: StoreRoot, parent: ChainID | None, name: str) -> Iterator[Held]:
    """Hold the claim `name` over `parent`, after whoever holds it now."""
    text = f"{parent or 'scratch'} {name}"
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    lock = root.lock(Rank.LAYER, "claims", digest[:_LOCK_DIGITS])
    waited = _acquire(lock)
    try:
        yield Held(lock.path, digest, waited=waited)
    finally:
        lock.release()


def _acquire(lock: FileLock) -> bool:
    """Take the lock; True when another process had it."""
    try:
        lock.acquire(timeout=0)
    except LockHeld:
        lock.acquire()
        return True
    return False
