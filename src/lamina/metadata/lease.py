"""Leases: what a process makes is its own as long as it lives, and nobody's afterwards.

Knows files and locks; knows nothing of what a lease holds.
"""

import os

from lamina.fs.locks import FileLock, Rank
from lamina.values.ids import LeaseID


class Lease:
    """A lock file that its holder keeps locked; freed by the kernel when the holder dies."""

    def __init__(self, lease: LeaseID, path: str, lock: FileLock) -> None:
        self.id = lease
        self._path = path
        self._lock = lock

    @classmethod
    def take(cls, folder: str) -> "Lease":
        """Draw a new lease and hold it before it can be seen under its own name."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        while True:
            lease = LeaseID.from_random(os.urandom(32))
            path = os.path.join(folder, lease)
            lock = FileLock(f"{path}.new", Rank.LEASE)
            lock.acquire()
            try:
                os.rename(f"{path}.new", path)
            except FileNotFoundError:
                lock.release()  # swept between its making and its locking: draw another
                continue
            return cls(lease, path, lock)

    @staticmethod
    def dead(folder: str) -> list[str]:
        """The names of the files of leases whose holders died."""
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        return [name for name in names if not FileLock.is_held(os.path.join(folder, name))]

    @staticmethod
    def is_held(folder: str, lease: LeaseID) -> bool:
        """Whether a live process holds `lease`."""
        path = os.path.join(folder, lease)
        return os.path.exists(path) and FileLock.is_held(path)

    @property
    def descriptor(self) -> int:
        """What a program has to inherit to hold it as well."""
        return self._lock.descriptor

    def hand_over(self) -> None:
        """Leave it to the program that inherited it."""
        self._lock.release()

    def release(self) -> None:
        """Let go, and take the file away."""
        try:
            os.unlink(self._path)
        except OSError:
            pass  # a read-only or full disk must not stop a clean end; a free lock says the same
        self._lock.release()
