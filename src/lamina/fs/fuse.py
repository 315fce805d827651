"""A file system in user space: mounted by us, served by a program that lives exactly as long.

The mount is made here, detached, and the program is handed the connection alone (libfuse takes
`/dev/fd/N` for a mount point that was mounted for it). The program runs in the mount namespace of
the caller's process, never in that of the mount's user: so nothing that it holds keeps the mount,
the kernel drops the mount with its last user, and the program's next read says so and it ends.
There is no pid to remember, and no signal to send (docs/adr/0006).
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from lamina.errors import DriverNotSupported, StorageError
from lamina.fs.private import on_private_thread
from lamina.fs.spawn import read_all, spawn, wait
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, setns, unshare

_CONNECTION = 3  # the program's descriptor of it
_SPECIAL = frozenset("\\:,")  # what the program's own splitting trips over


class Fuse(NamedTuple):
    """Directories united by a program like fuse-overlayfs; `lowers` topmost first.

    `program` is its absolute path, `options` go before those that name the directories.
    """

    program: str
    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    options: tuple[str, ...]


def mount_fuse(fuse: Fuse) -> int:
    """A detached mount that the started program serves; raises OSError or `StorageError`."""
    connection = _connection()
    try:
        mount = _mount(connection, os.path.basename(fuse.program), fuse.upper is None)
        try:
            _serve(fuse, connection)
            os.stat(f"/proc/self/fd/{mount}")  # answered by the program, or ENOTCONN
        except BaseException:
            os.close(mount)
            raise
        return mount
    finally:
        os.close(connection)


def _connection() -> int:
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise DriverNotSupported(
            f"/dev/fuse cannot be opened: {error.strerror}",
            hint="load the kernel's fuse module (`modprobe fuse`), or choose another --driver",
        ) from error


def _mount(connection: int, name: str, readonly: bool) -> int:
    context = kernel.fsopen("fuse")
    try:
        settings = {
            "source": name,
            "subtype": name,
            "fd": str(connection),
            "rootmode": "40000",
            "user_id": str(os.geteuid()),
            "group_id": str(os.getegid()),
        }
        for key, value in settings.items():
            kernel.fsconfig_string(context, key, value)
        for flag in ("allow_other", "default_permissions"):
            kernel.fsconfig_flag(context, flag)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, kernel.MOUNT_ATTR_RDONLY if readonly else 0)
    finally:
        os.close(context)


def _serve(fuse: Fuse, connection: int) -> None:
    """Start the program; it has gone to the background, or said why not, when this returns."""
    command = _command(fuse)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            given = {0: None, 1: writer, 2: writer, _CONNECTION: connection}
            child = _in_callers_namespace(command, given)
        finally:
            os.close(writer)
        said = read_all(reader)  # until it lets go of its output
    finally:
        os.close(reader)
    status = wait(child)
    if status:
        words = said.decode("utf-8", "replace").strip().splitlines()
        raise StorageError(
            f"{os.path.basename(fuse.program)} could not unite the layers: "
            f"{words[-1] if words else f'it ended with status {status}'}"
        )


def _command(fuse: Fuse) -> list[str]:
    options = [*fuse.options, f"lowerdir={':'.join(map(_plain, fuse.lowers))}"]
    if fuse.upper is not None and fuse.work is not None:
        options += [f"upperdir={_plain(fuse.upper)}", f"workdir={_plain(fuse.work)}"]
    return [fuse.program, "-o", ",".join(options), f"/dev/fd/{_CONNECTION}"]


def _plain(path: str) -> str:
    """A path as it is: the program splits the real paths once more, whatever they were called."""
    if not _SPECIAL.isdisjoint(path):
        raise StorageError(
            f"fuse-overlayfs takes no path with a colon, a comma or a backslash: {path}",
            hint="choose another --root",
        )
    return path


def _in_callers_namespace(command: list[str], given: Mapping[int, int | None]) -> int:
    """Spawn from the mount namespace of the caller's process, whatever thread this is."""

    def there() -> int:
        namespace = os.open(f"/proc/{os.getpid()}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            unshare(CLONE_FS)
            setns(namespace, CLONE_NEWNS)
        finally:
            os.close(namespace)
        return spawn(command, given)

    if os.path.samefile("/proc/self/ns/mnt", "/proc/thread-self/ns/mnt"):
        return spawn(command, given)
    return on_private_thread(there)
