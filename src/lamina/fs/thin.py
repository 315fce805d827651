"""Thin devices as mount steps: put together, mounted, and gone with their last user.

A thin device is a number in a **pool**, which lies in two files of ours (shown by loop devices)
or was made by somebody else. Devices are put together when they are needed. Each is opened first
and then told to go with whoever has it open last: a mount, a thin device in the pool's case. So
no kill leaves more than one device, which the next user takes and the next closing removes.

Two mounts of a device share one super block, and so one page cache. Knows no layers.
"""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lamina.fs.locks import FileLock, Rank
from lamina.kernel import devmapper, loop
from lamina.kernel import mount as kernel

BLOCK = 128  # sectors of 512 bytes: what a pool gives out at a time
SECTOR = 512
_PATIENCE = 10.0  # seconds for what uses a device (udev, a mount that is ending) to be done
_POLL = 0.01
_TRIES = 100
_VANISHED = (errno.ENXIO, errno.ENODEV, errno.ENOENT)
# What a full pool says at once, in place of letting writers wait for somebody to enlarge it.
_FEATURES = "1 error_if_no_space"


class Pool(NamedTuple):
    """A pool by its device's name; `data` and `metadata` are its files, empty for another's.

    `lock` is a file that is locked while devices come and go.
    """

    name: str
    data: str
    metadata: str
    lock: str

    @property
    def is_ours(self) -> bool:
        """Whether we put it together."""
        return bool(self.data)


class Thin(NamedTuple):
    """A file system on device `number` of a pool; one that is `sealed` is never written again."""

    pool: Pool
    name: str
    number: int
    sectors: int
    kind: str
    options: tuple[str, ...]
    sealed: bool
    readonly: bool

    def text(self) -> str:
        """In a form that `parse` reads."""
        return json.dumps(self)

    def mount(self) -> int:
        """A detached mount of it; raises OSError."""
        with locked(self.pool.lock):
            return mount(self)


def parse(text: str) -> Thin:
    """What `Thin.text` wrote."""
    pool, name, number, sectors, kind, options, sealed, readonly = json.loads(text)
    return Thin(Pool(*pool), name, number, sectors, kind, tuple(options), sealed, readonly)


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Have a pool's devices alone for the block's time, by its lock file."""
    with FileLock(path, Rank.MOUNTS).exclusive():
        yield


# --- while the pool is locked -----------------------------------------------------------------


def open_pool(pool: Pool) -> int:
    """A descriptor that keeps the pool's device there; raises OSError."""
    for _ in range(_TRIES):
        found = devmapper.find(pool.name)
        if found is None:
            if not pool.is_ours:
                words = f"the thin pool {pool.name} is not there ({os.strerror(errno.ENXIO)})"
                raise OSError(errno.ENXIO, words, pool.name)
            found = _make_pool(pool)
        opened = _open(found)
        if opened is not None:
            if pool.is_ours:
                devmapper.remove_with_last_user(pool.name)
            return opened
        time.sleep(_POLL)
    raise OSError(errno.ENXIO, "its node in /dev cannot be opened", pool.name)


def _make_pool(pool: Pool) -> devmapper.Device:
    _await_release(pool.data)
    held: list[int] = []
    try:
        for path in (pool.metadata, pool.data):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                held.append(loop.attach(file, path, read_only=False))
            finally:
                os.close(file)
        metadata, data = (_number(each) for each in held)
        sectors = os.stat(pool.data).st_size // SECTOR // BLOCK * BLOCK
        table = f"{metadata} {data} {BLOCK} 0 {_FEATURES}"
        return devmapper.create(pool.name, sectors, "thin-pool", table)
    finally:
        for descriptor in held:
            os.close(descriptor)  # the pool has them now; the kernel frees them with it


def _await_release(path: str) -> None:
    """Wait for a pool that is on its way out: it still writes to its files, and two at once would
    ruin them.
    """
    limit = time.monotonic() + _PATIENCE
    while loop.is_shown(path):
        if time.monotonic() > limit:
            raise OSError(errno.EBUSY, "a loop device shows it already", path)
        time.sleep(_POLL)


def _number(device: int) -> str:
    number = os.fstat(device).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def _open(device: devmapper.Device, flags: int = os.O_RDONLY) -> int | None:
    """None when its last user went just now, and it with them."""
    try:
        return os.open(device.node, flags | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _VANISHED:
            return None
        raise


def open_device(thin: Thin) -> int:
    """A descriptor of the block device, which goes with its last user; raises OSError."""
    keeper = open_pool(thin.pool)
    try:
        for _ in range(_TRIES):
            found = devmapper.find(thin.name) or _make_device(thin, _number(keeper))
            opened = _open(found, os.O_RDONLY if thin.sealed else os.O_RDWR)
            if opened is not None:
                devmapper.remove_with_last_user(thin.name)
                return opened
            time.sleep(_POLL)
    finally:
        os.close(keeper)
    raise OSError(errno.ENXIO, "its node in /dev cannot be opened", thin.name)


def _make_device(thin: Thin, pool: str) -> devmapper.Device:
    flags = devmapper.READ_ONLY if thin.sealed else 0
    try:
        return devmapper.create(thin.name, thin.sectors, "thin", f"{pool} {thin.number}", flags)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        words = f"the pool has no device {thin.number}"
        raise FileNotFoundError(errno.ENOENT, words, thin.name) from error


def close_device(name: str) -> None:
    """See to it that a device is not there; raises OSError (EBUSY) while somebody has it open."""
    limit = time.monotonic() + _PATIENCE
    while True:
        try:
            devmapper.remove(name)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > limit:
                raise
        time.sleep(_POLL)


def mount(thin: Thin) -> int:
    """A detached mount; raises OSError."""
    device = open_device(thin)
    try:
        return _configure(thin, device)
    finally:
        os.close(device)


def _configure(thin: Thin, device: int) -> int:
    context = kernel.fsopen(thin.kind)
    try:
        kernel.fsconfig_string(context, "source", os.readlink(f"/proc/self/fd/{device}"))
        for option in thin.options:
            kernel.fsconfig_flag(context, option)
        if thin.sealed:
            kernel.fsconfig_flag(context, "ro")
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, kernel.MOUNT_ATTR_RDONLY if thin.readonly else 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, thin.name) from error
    finally:
        os.close(context)
