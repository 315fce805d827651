"""Loop devices: files shown as block devices (include/uapi/linux/loop.h)."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator

_CONTROL = "/dev/loop-control"
_CTL_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_GET_STATUS = 0x4C05  # LOOP_GET_STATUS64
_READ_ONLY = 1
_AUTOCLEAR = 4
_NAME_SIZE = 64
# struct loop_config: fd, block size, then struct loop_info64, then reserved
_CONFIG = struct.Struct(f"<II5Q4I{_NAME_SIZE}s{_NAME_SIZE}s32s2Q64x")
_STATUS = struct.Struct("<2Q")  # of struct loop_info64: device and inode of the file
_STATUS_SIZE = 232
_FREE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)  # of a device that shows nothing
_TRIES = 64  # another process may take the free device first


def attach(file: int, name: str, *, read_only: bool = True) -> int:
    """A descriptor of a loop device that shows an open file, freed by the kernel when nothing
    uses it any more; raises OSError. `name` is what tools show.
    """
    for _ in range(_TRIES):
        device = _open_free(read_only)
        try:
            flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
            shown = os.fsencode(name)[-_NAME_SIZE + 1 :]
            info = (0, 0, 0, 0, 0, 0, 0, 0, flags, shown, b"", b"", 0, 0)
            fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 512, *info))
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:
                raise OSError(error.errno, f"loop device: {error.strerror}", name) from error
        except BaseException:
            os.close(device)
            raise
        else:
            return device
    raise OSError(errno.EBUSY, "loop device: every free one was taken", name)


def _open_free(read_only: bool) -> int:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _CTL_GET_FREE)
    finally:
        os.close(control)
    mode = os.O_RDONLY if read_only else os.O_RDWR
    return os.open(f"/dev/loop{number}", mode | os.O_CLOEXEC)


def find(file: int) -> int | None:
    """A descriptor of the loop device that shows an open file, if there is one; raises OSError.

    The device stays what it is for as long as the descriptor is open. A device that cannot be
    asked, and whose file may be this one, is an error: nobody may put a second one beside it.
    """
    status = os.fstat(file)
    wanted = os.major(status.st_dev), os.minor(status.st_dev), status.st_ino
    for name, backing in _in_use():
        try:
            device = _open_showing(name, wanted)
        except OSError as error:
            own = os.readlink(f"/proc/self/fd/{file}")
            if error.errno == errno.ENXIO or _tail(backing) != _tail(own):
                continue  # freed meanwhile, or another file's
            reason = f"/dev/{name} may show it and cannot be asked: {error.strerror}"
            raise OSError(error.errno, reason, own) from error
        if device is not None:
            return device
    return None


def _in_use() -> Iterator[tuple[str, str]]:
    """The names of the loop devices that show something, each with its file's path."""
    for name in os.listdir("/sys/block"):
        if name.startswith("loop"):
            try:
                with open(f"/sys/block/{name}/loop/backing_file", "rb") as file:
                    yield name, os.fsdecode(file.read().rstrip(b"\n"))
            except OSError as error:
                if error.errno not in _FREE:
                    raise


def _open_showing(name: str, wanted: tuple[int, int, int]) -> int | None:
    device = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _shown(device) == wanted:
            return device
    except BaseException:
        os.close(device)
        raise
    os.close(device)
    return None


def _tail(path: str) -> list[str]:
    """What a path is called in every mount namespace: the name and that of the folder."""
    return path.removesuffix(" (deleted)").split("/")[-2:]


def _shown(device: int) -> tuple[int, int, int]:
    answer = fcntl.ioctl(device, _GET_STATUS, bytes(_STATUS_SIZE))
    number, inode = _STATUS.unpack_from(answer)
    # new_encode_dev, include/linux/kdev_t.h
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00, inode


def is_shown(path: str) -> bool:
    """Whether any loop device shows the file at `path`, under whatever name; raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        device = find(file)
    finally:
        os.close(file)
    if device is not None:
        os.close(device)
    return device is not None
