"""A file system of its own, in a file, for what one container writes: its size is the limit.

    <path>      a sparse file that holds an ext4 with upper/ and work/

It is mounted detached, by a loop device that the kernel frees with the last mount. One file must
never be shown by two devices at once, or two file systems would write to it: whoever mounts looks
for the device that is there, under a lock on the file itself, and all share one super block. So
what lies inside is read while a container runs as well as when it does not.
"""

import fcntl
import os

from lamina.errors import ConfigurationError, DriverNotSupported, ProgramMissing
from lamina.fs.spawn import PATH, run
from lamina.kernel import loop
from lamina.kernel import mount as kernel
from lamina.kernel.ioctl import syncfs
from lamina.values.size import human_binary

UPPER, WORK = "upper", "work"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PROGRAM = "mkfs.ext4"
_BLOCK = 4096
_JOURNAL = 4  # MiB; the least with blocks of this size
_BYTES_PER_INODE, _INODE = 16384, 256
_LEAST = 4 << 20  # bytes; a smaller file system would have no journal
_FIXED = 1 << 20  # bytes for group descriptors, bitmaps, and the first directories
_RESERVED, _MOST_RESERVED = 50, 16 << 20  # ext4 keeps a fiftieth for itself, that much at most
# everything is written when it is first needed, so that the file takes up what is in it
_LAZILY = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"

# once the disk below has failed it, nothing is written on top of what was lost
_STRICT = (("errors", "remount-ro"), ("data_err", "abort"))


def make(path: str, size: int) -> None:
    """Make the file, with room for `size` bytes.

    Raises `ConfigurationError` for too few, `ProgramMissing`, `DriverNotSupported` in the
    program's words, or OSError; what was made until then is the caller's to remove.
    """
    if size < _LEAST:
        raise ConfigurationError(
            f"storage size cannot be less than {human_binary(_LEAST)} here",
            hint="give a larger --storage-opt size",
        )
    program = _find()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, _whole(size))
    finally:
        os.close(descriptor)
    _format(program, path)
    mounted = mount(path)
    try:
        for name, mode in ((UPPER, 0o755), (WORK, 0o700)):
            os.mkdir(f"/proc/self/fd/{mounted}/{name}", mode)
            os.chmod(f"/proc/self/fd/{mounted}/{name}", mode)
    finally:
        os.close(mounted)


def _find() -> str:
    for folder in PATH.split(":"):
        program = os.path.join(folder, _PROGRAM)
        if os.access(program, os.X_OK):
            return program
    raise ProgramMissing(
        f"a limit on the size of a layer needs the program {_PROGRAM} here",
        hint="install the package e2fsprogs, or leave out --storage-opt size",
    )


def _whole(size: int) -> int:
    """The bytes of the file: what the file system keeps for itself comes on top."""
    inodes = size // _BYTES_PER_INODE * _INODE
    reserved = min(size // _RESERVED, _MOST_RESERVED)
    total = size + inodes + reserved + (_JOURNAL << 20) + _FIXED
    return -(-total // _BLOCK) * _BLOCK


def _format(program: str, path: str) -> None:
    words = [program, "-q", "-F", "-b", str(_BLOCK), "-I", str(_INODE), "-m", "0"]
    words += ["-i", str(_BYTES_PER_INODE), "-J", f"size={_JOURNAL}"]
    words += ["-O", "^resize_inode", "-E", _LAZILY, path]
    said = run(words)
    if said.status:
        lines = said.errors.splitlines() or [f"it ended with status {said.status}"]
        raise DriverNotSupported(f"{_PROGRAM} cannot make {path}: {lines[-1]}")


def mount(path: str) -> int:
    """A detached mount of what is in the file, shared with all others; raises OSError.

    Raises `DriverNotSupported` where the kernel cannot.
    """
    device = _device(path)
    try:
        return _mount(os.readlink(f"/proc/self/fd/{device}"), path)
    finally:
        os.close(device)  # the mount holds it now, and the kernel frees it with the mount


def _device(path: str) -> int:
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # the device keeps it open, the lock not
        try:
            found = loop.find(file)
            return found if found is not None else loop.attach(file, path, read_only=False)
        finally:
            os.close(file)
    finally:
        os.close(lock)


def _mount(device: str, path: str) -> int:
    context = kernel.fsopen("ext4")
    try:
        kernel.fsconfig_string(context, "source", device)
        for flag in ("discard", "noinit_itable"):  # what is deleted, or empty, takes up nothing
            kernel.fsconfig_flag(context, flag)
        for key, value in _STRICT:
            kernel.fsconfig_string(context, key, value)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(context)


def sync(path: str) -> None:
    """Write all that is in the file's file system to disk.

    Raises OSError also for what the disk below had no room for earlier: the kernel tells that
    once, and nothing does after the last unmount.
    """
    mounted = mount(path)
    try:
        root = os.open(".", _DIRECTORY, dir_fd=mounted)
        try:
            syncfs(root)
        finally:
            os.close(root)
    finally:
        os.close(mounted)


def open_upper(path: str) -> int:
    """A descriptor of the directory in which what was written lies; raises OSError."""
    mounted = mount(path)
    try:
        return os.open(f"/proc/self/fd/{mounted}/{UPPER}", _DIRECTORY)
    finally:
        os.close(mounted)
