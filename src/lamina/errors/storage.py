"""The disk, the kernel or a storage driver disagrees."""

import errno

from lamina.errors.base import LaminaError


class StorageError(LaminaError):
    """Reading or writing the store failed."""


class DiskFull(StorageError):
    """No space, no inodes or no quota left."""

    http_status = 507


class ReadOnlyStore(StorageError):
    """The store lies on a read-only file system."""


class PermissionRefused(StorageError):
    """The kernel refused the access."""

    http_status = 403


class StoreDamaged(StorageError):
    """What is on disk is not what the database says."""


class ForeignStore(StorageError):
    """The root belongs to another store, another engine or a newer Lamina."""


class KernelError(StorageError):
    """A system call failed; carries the call, its subject and the errno."""

    def __init__(self, brief: str, *, call: str, number: int, hint: str = "") -> None:
        super().__init__(brief, hint=hint)
        self.call = call
        self.errno = number


class DriverError(StorageError):
    """A storage driver cannot do what was asked."""


class DriverUnknown(DriverError):
    """No driver by that name."""

    http_status = 400


class DriverNotSupported(DriverError):
    """The driver cannot work here; the reason holds the kernel's own words."""


class DriverConflict(DriverError):
    """Layers of another driver are here already."""


_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EROFS: ReadOnlyStore,
    errno.EACCES: PermissionRefused,
    errno.EPERM: PermissionRefused,
}

_HINTS: dict[type[StorageError], str] = {
    DiskFull: "free some space (`lamina prune`, `lamina rmi`) and try again",
    ReadOnlyStore: "remount it read-write or choose another place",
    PermissionRefused: "run as root or choose a place that is yours",
}


def hint_of(error: OSError) -> str:
    """What to do about an error of the kernel's; nothing where no general advice helps."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files (`ulimit -n`), or squash the image's layers"
    return _HINTS.get(_BY_ERRNO.get(error.errno or 0, StorageError), "")


def from_oserror(error: OSError, action: str, subject: str = "") -> StorageError:
    """The storage error for `error`: `action` on `subject`, in the kernel's own words."""
    kind = _BY_ERRNO.get(error.errno or 0, StorageError)
    on = subject or _named(error.filename)
    words = error.strerror or str(error)
    what = f"{action} {on}" if on else action.removesuffix(":")
    return kind(f"{what}: {words}", hint=hint_of(error))


def _named(filename: object) -> str:
    """What an OSError is about: a path of either kind, a descriptor, or nothing."""
    if isinstance(filename, bytes):
        return filename.decode("utf-8", "surrogateescape")
    return "" if filename is None else str(filename)
