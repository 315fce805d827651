"""What the driver writes down of its devices, in docker's files and with docker's words.

    <home>/metadata/
      <id>  base              a device: its number, its size, whether it is complete
      deviceset-metadata      which pool this is, and what file system is in it
      transaction-metadata    the device that is being made, or was made last

A file is replaced whole, its bytes on disk before its name; `settle` puts the names there, too.
Whoever writes has the pool's lock.
"""

import json
import os
from typing import NamedTuple, TypeVar

from lamina.errors import StoreDamaged
from lamina.fs.atomic import replace_file, sync_directory

BASE = "base"
_SET, _TRANSACTION, _STAGED = "deviceset-metadata", "transaction-metadata", ".staged"
R = TypeVar("R", "Record", "DeviceSet", "Transaction")


class Record(NamedTuple):
    """A device; `initialized` once nothing is written to it any more, `made` in nanoseconds."""

    device_id: int
    size: int
    transaction_id: int
    initialized: bool
    parent: str
    made: int


class DeviceSet(NamedTuple):
    """`token` tells this store's devices from another's, `pool` is empty for our own files."""

    token: str
    pool: str
    base_device_filesystem: str


class Transaction(NamedTuple):
    """The pool's own counter reaches `open_transaction_id` once that device is made."""

    open_transaction_id: int
    device_hash: str
    device_id: int


class Records:
    """The files in one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        """Where a record lies."""
        return os.path.join(self.folder, name)

    def names(self) -> list[str]:
        """The layers that have a record."""
        return sorted(name for name in os.listdir(self.folder) if len(name) == 64)

    def get(self, name: str) -> Record | None:
        """A device's record; raises `StoreDamaged`."""
        return self._read(name, Record)

    def put(self, name: str, record: Record) -> None:
        """Write a device's record; raises OSError."""
        self._write(name, record)

    def device_set(self) -> DeviceSet | None:
        """What pool this is, once that is known."""
        return self._read(_SET, DeviceSet)

    def put_device_set(self, found: DeviceSet) -> None:
        """Write down what pool this is."""
        self._write(_SET, found)
        self.settle()

    def transaction(self) -> Transaction | None:
        """What is being made, or was made last."""
        return self._read(_TRANSACTION, Transaction)

    def put_transaction(self, found: Transaction) -> int:
        """Write down what is to be made; gives the moment, by the file system's clock."""
        self._write(_TRANSACTION, found)
        return os.stat(self.path(_TRANSACTION)).st_ctime_ns

    def drop(self, name: str) -> None:
        """Remove a record for good; nothing when there is none."""
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            return
        self.settle()

    def settle(self) -> None:
        """Let what was written survive a power cut."""
        sync_directory(self.folder)

    def _write(self, name: str, record: Record | DeviceSet | Transaction) -> None:
        text = json.dumps(record._asdict()).encode()
        replace_file(self.path(name), text, temporary=self.path(_STAGED))

    def _read(self, name: str, kind: type[R]) -> R | None:
        try:
            with open(self.path(name), "rb") as file:
                fields = json.loads(file.read())
            return kind(**fields)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise StoreDamaged(f"{self.path(name)} is not a record of a device: {error}") from error
