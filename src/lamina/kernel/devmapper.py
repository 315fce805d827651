"""Device-mapper by ioctl(2) on its control node (include/uapi/linux/dm-ioctl.h).

Every function is one call and raises OSError in the kernel's words, about the device that is
named. udev is told to leave the devices alone: their nodes are those that the kernel itself
makes, /dev/dm-<minor>. Knows no target.
"""

import errno
import fcntl
import os
import struct
from typing import NamedTuple

CONTROL = "/dev/mapper/control"
READ_ONLY = 1 << 0
_PARAMETERS = 1 << 4  # DM_STATUS_TABLE_FLAG
_DEFERRED = 1 << 17
_LEAVE_ALONE = 0x2F << 16  # DM_UDEV_DISABLE_*: no rules, no links, no looking into it

# struct dm_ioctl: version, data size and start, targets, open count, flags, event, device ...
_HEAD = struct.Struct("=3I2IIiIIIQ128s129s7x")
_TARGET = struct.Struct("=QQiI16s")
_LISTED = struct.Struct("=QI")
_VERSION = (4, 0, 0)
_ROOM, _MANY = 1 << 12, 1 << 20  # bytes for an answer; a list of 8,000 names is the longer one
_LIST, _REMOVE, _CREATE, _RESUME, _STATUS, _LOAD, _TABLE, _MESSAGE, _TARGET_VERSION = (
    2, 4, 3, 6, 7, 9, 12, 14, 17,
)  # fmt: skip
_ABSENT = (errno.ENXIO, errno.ENODEV)


class Device(NamedTuple):
    """A device that is there: its number, as `major:minor`, and by how many it is open."""

    number: str
    opened: int

    @property
    def node(self) -> str:
        """Where the kernel puts its node."""
        return f"/dev/dm-{self.number.partition(':')[2]}"


class _Answer(NamedTuple):
    device: Device
    data: bytes


def find(name: str) -> Device | None:
    """The device of that name, if there is one."""
    try:
        return _ask(_STATUS, name).device
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def names() -> list[str]:
    """The names of all devices."""
    data = _ask(_LIST, "", room=_MANY).data
    found, at = [], 0
    while at + _LISTED.size <= len(data):
        _, step = _LISTED.unpack_from(data, at)
        name = data[at + _LISTED.size :].partition(b"\0")[0].decode(errors="replace")
        if name:
            found.append(name)
        if not step:
            break
        at += step
    return found


def create(name: str, sectors: int, target: str, parameters: str, flags: int = 0) -> Device:
    """Make a device of one target and start it; what fails leaves none behind."""
    _ask(_CREATE, name, flags)
    try:
        _ask(_LOAD, name, flags, _table(sectors, target, parameters), targets=1)
        return _ask(_RESUME, name, flags, event=_LEAVE_ALONE).device
    except BaseException:
        remove(name)
        raise


def _table(sectors: int, target: str, parameters: str) -> bytes:
    text = parameters.encode() + b"\0"
    text += bytes(-len(text) % 8)
    return _TARGET.pack(0, sectors, 0, _TARGET.size + len(text), target.encode()) + text


def remove(name: str) -> bool:
    """Take a device away; False when there is none. EBUSY while it is open."""
    try:
        _ask(_REMOVE, name, event=_LEAVE_ALONE)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def remove_with_last_user(name: str) -> None:
    """Let a device that is open go when nobody has it open any more; one that is not, goes now."""
    _ask(_REMOVE, name, _DEFERRED, event=_LEAVE_ALONE)


def status(name: str) -> str:
    """What the one target of a device says of itself."""
    return _told(name, 0)


def table(name: str) -> str:
    """The parameters of the one target of a device."""
    return _told(name, _PARAMETERS)


def _told(name: str, flags: int) -> str:
    raw = _ask(_TABLE, name, flags).data
    return raw[_TARGET.size :].partition(b"\0")[0].decode(errors="replace")


def send(name: str, words: str) -> None:
    """Send a message to the one target of a device."""
    _ask(_MESSAGE, name, data=bytes(8) + words.encode() + b"\0")


def target_version(target: str) -> str:
    """The version of a target, whose module the kernel loads for it; EINVAL when it has none."""
    raw = _ask(_TARGET_VERSION, target).data
    return ".".join(map(str, struct.unpack_from("=3I", raw, 4)))


def _ask(
    command: int,
    name: str,
    flags: int = 0,
    data: bytes = b"",
    *,
    targets: int = 0,
    event: int = 0,
    room: int = _ROOM,
) -> _Answer:
    buffer = bytearray(_HEAD.size + max(len(data), room))
    head = (*_VERSION, len(buffer), _HEAD.size, targets, 0, flags, event, 0, 0, name.encode(), b"")
    _HEAD.pack_into(buffer, 0, *head)
    buffer[_HEAD.size : _HEAD.size + len(data)] = data
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(control, 3 << 30 | _HEAD.size << 16 | 0xFD << 8 | command, buffer)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error
    finally:
        os.close(control)
    told = _HEAD.unpack_from(buffer)
    number = told[10]
    device = Device(f"{os.major(number)}:{os.minor(number)}", told[6])
    return _Answer(device, bytes(buffer[told[4] : told[3]]))
