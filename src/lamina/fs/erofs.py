"""Mounting an EROFS image whose files lie in other files: from the files, or by loop devices.

A file as the source is taken from Linux 6.12 on, and only on file systems that can be read in
pages; elsewhere the kernel says ENOTBLK, and read-only loop devices do. Which it is is found out
by trying. Knows no layers.
"""

import errno
import os
from typing import NamedTuple

from lamina.kernel import mount as kernel

_NAME_LIMIT = 255  # fsconfig(2) takes texts up to this many bytes
FILES, LOOPS = "files", "loop devices"


class Shared(NamedTuple):
    """Under which name in which folder (`fs.shared`) a mount lives once for all its users."""

    folder: str
    name: str


class Erofs(NamedTuple):
    """An image, and the files that it points into, in the order of its device table.

    `place` is an empty directory: older kernels can stack the mount only where it has a name.
    """

    image: str
    devices: tuple[str, ...]
    place: str
    shared: Shared | None

    def mount(self) -> int:
        """A detached mount of it, not shared with anybody; raises OSError."""
        return mount_image(self.image, self.devices).descriptor


def open_images(steps: list[Erofs]) -> list[int]:
    """Detached mounts of all of them, of shared ones a clone; raises OSError."""
    folders = {step.shared.folder for step in steps if step.shared is not None}
    if len(folders) != 1 or not all(step.shared for step in steps):
        return _each(steps)
    from lamina.fs.shared import Wanted, borrow  # only who mounts one

    wanted = [Wanted(step.shared.name, step.mount) for step in steps if step.shared is not None]
    return borrow(folders.pop(), wanted)


def _each(steps: list[Erofs]) -> list[int]:
    opened: list[int] = []
    try:
        opened.extend(step.mount() for step in steps)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return opened


class Mounted(NamedTuple):
    """A detached mount, and by which way it came about."""

    descriptor: int
    way: str


def mount_image(image: str, devices: tuple[str, ...]) -> Mounted:
    """A detached, read-only mount of `image`; raises OSError in the kernel's words."""
    try:
        return Mounted(_mount((image, *devices)), FILES)
    except OSError as error:
        if error.errno != errno.ENOTBLK:
            raise
        return Mounted(_mount_by_loops((image, *devices)), LOOPS)


def _mount(files: tuple[str, ...]) -> int:
    opened: list[int] = []
    try:
        names = [_short(path, opened) for path in files]
        return _configure(names, files[0])
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _short(path: str, opened: list[int]) -> str:
    if len(os.fsencode(path)) <= _NAME_LIMIT:
        return path
    opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return f"/proc/self/fd/{opened[-1]}"


def _mount_by_loops(files: tuple[str, ...]) -> int:
    from lamina.kernel import loop

    held: list[int] = []
    try:
        for path in files:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                held.append(loop.attach(file, path))
            finally:
                os.close(file)
        return _configure([os.readlink(f"/proc/self/fd/{each}") for each in held], files[0])
    finally:
        for descriptor in held:
            os.close(descriptor)  # the mount holds the devices now; the kernel frees them with it


def _configure(names: list[str], image: str) -> int:
    context = kernel.fsopen("erofs")
    try:
        kernel.fsconfig_string(context, "source", names[0])
        for name in names[1:]:
            kernel.fsconfig_string(context, "device", name)
        kernel.fsconfig_flag(context, "ro")  # a read-only loop device is opened no other way
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, kernel.MOUNT_ATTR_RDONLY)
    except OSError as error:
        raise OSError(error.errno, error.strerror, image) from error
    finally:
        os.close(context)
