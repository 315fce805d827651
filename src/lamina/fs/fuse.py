"""A file system in user space: mounted by us, served by a program that lives exactly as long.

The mount is made here, detached, and the program is handed the connection alone (libfuse takes
`/dev/fd/N` for a mount point that was mounted for it). The program runs in the mount namespace of
the caller's process, never in that of the mount's user: so nothing that it holds keeps the mount,
the kernel drops the mount with its last user, and the program's next read says so and it ends.
There is no pid to remember, and no signal to send (docs/adr/0006).
"""

import os
from collections.abc import Mapping

from lamina.errors import DriverNotSupported, StorageError
from lamina.fs.private import on_private_thread
from lamina.fs.spawn import read_all, spawn, wait
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, setns, unshare

_CONNECTION = 3  # the program's descriptor of it


def mount_fuse(program: str, options: tuple[str, ...], *, readonly: bool) -> int:
    """A detached mount that `program`, an absolute path, serves with these options.

    Raises OSError or `StorageError`.
    """
    connection = _connection()
    try:
        mount = _mount(connection, os.path.basename(program), readonly)
        try:
            _serve([program, "-o", ",".join(options), f"/dev/fd/{_CONNECTION}"], connection)
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


def _serve(command: list[str], connection: int) -> None:
    """Start the program; it has gone to the background, or said why not, when this returns."""
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
            f"{os.path.basename(command[0])} could not unite the layers: "
            f"{words[-1] if words else f'it ended with status {status}'}"
        )


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
