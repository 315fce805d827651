"""Making an overlay, by the first of four ways that this kernel knows.

Lower directories are named by descriptor (Linux 6.13), by name (6.7), in one `lowerdir=` text
(5.2), or to mount(2), which knows all kernels but takes one page of options and cuts the rest
without a word. Which way works is found by trying; a way that fails for its own reasons (a call
or a parameter that is unknown, a name that is too long) gives way to the next.

Features that change what an upper directory means are switched off where the kernel has them.
Knows directories; knows nothing of layers or of where the mount goes.
"""

import errno
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from lamina.errors import StorageError
from lamina.fs.private import in_private_namespace, on_private_thread
from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, unshare

T = TypeVar("T")
LOWER_LIMIT = 500  # fs/overlayfs/params.h, OVL_MAX_STACK
_TEXT_LIMIT = 255  # fsconfig(2) takes texts up to this many bytes
_FIXED = ("index=off", "redirect_dir=off", "metacopy=off")
_SPECIAL = frozenset("\\:,")  # what overlayfs unescapes, differently by version and parameter
_DESCRIPTORS = "/proc/self/fd"
_NEXT_WAY = (
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EPERM,  # also what a seccomp filter answers to a call that it does not know
    errno.ENAMETOOLONG,
    errno.E2BIG,
)


class Overlay(NamedTuple):
    """Directories united, `lowers` topmost first; read-only without `upper` and `work`."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    options: tuple[str, ...]


DESCRIPTORS, NAMES, TEXT, CLASSIC = "descriptors", "names", "text", "classic"
WAYS = (DESCRIPTORS, NAMES, TEXT, CLASSIC)


def attach_overlay(overlay: Overlay, target: str, ways: Iterable[str] = WAYS) -> None:
    """Mount at `target` in the calling thread's mount namespace; raises OSError."""

    def attach(way: str) -> None:
        if way == CLASSIC:
            _mount_classic(overlay, target)
            return
        made = _configure(overlay, _NAMING[way])
        try:
            kernel.move_mount(made, target)
        finally:
            os.close(made)

    _by_first_way(overlay, ways, attach)


def open_overlay(overlay: Overlay, ways: Iterable[str] = WAYS) -> int:
    """A descriptor of the united tree, which is in no mount table; raises OSError."""

    def open_by(way: str) -> int:
        if way == CLASSIC:
            return in_private_namespace(mount_and_open)
        made = _configure(overlay, _NAMING[way])
        try:
            return _opened(f"{_DESCRIPTORS}/{made}")
        finally:
            os.close(made)

    def mount_and_open() -> int:
        # the namespace ends with its thread; the mount lives on in the descriptor
        _mount_classic(overlay, overlay.lowers[-1])
        return _opened(overlay.lowers[-1])

    return _by_first_way(overlay, ways, open_by)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _by_first_way(overlay: Overlay, ways: Iterable[str], make: Callable[[str], T]) -> T:
    _check(overlay)
    refusals: list[OSError] = []
    for way in ways:
        try:
            return make(way)
        except OSError as error:
            if error.errno not in _NEXT_WAY:
                raise _about_a_directory(overlay) or error from error
            refusals.append(error)
    raise _most_telling(refusals)


def _check(overlay: Overlay) -> None:
    """Refuse what every kernel refuses, in words that it does not have."""
    if len(overlay.lowers) > LOWER_LIMIT:
        raise StorageError(
            f"{len(overlay.lowers)} layers are more than the {LOWER_LIMIT} that overlayfs unites",
            hint="squash the image",
        )
    if len(overlay.lowers) + (overlay.upper is not None) < 2:
        raise StorageError(
            "overlayfs unites two directories at least", hint="mount the one as it is"
        )
    if (overlay.upper is None) != (overlay.work is None):
        raise StorageError("an overlay's upper and work directories are given together")


def _about_a_directory(overlay: Overlay) -> OSError | None:
    """The error of the one directory that cannot be opened: older kernels do not name it."""
    for _, path in _directories(overlay):
        try:
            os.close(_place(path))
        except OSError as error:
            return error
    return None


def _most_telling(refusals: list[OSError]) -> OSError:
    """The first refusal with the kernel's own words about the directories, else the last."""
    for refusal in refusals:
        words = refusal.strerror or ""
        if "(" in words and "VFS: Legacy" not in words:  # those are about the way it was asked
            return refusal
    return refusals[-1]


# --- the new mount API ------------------------------------------------------------------------

_NameLowers = Callable[[int, Overlay, list[int]], None]


def _configure(overlay: Overlay, name_lowers: _NameLowers) -> int:
    """A detached overlay; `name_lowers` may leave descriptors open until it is made."""
    context = kernel.fsopen("overlay")
    opened = [context]
    try:
        kernel.fsconfig_string(context, "source", "overlay")
        name_lowers(context, overlay, opened)
        _set_options(context, (*_FIXED, *overlay.options))
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, 0 if overlay.upper else kernel.MOUNT_ATTR_RDONLY)
    finally:
        _close(opened)


def _by_descriptors(context: int, overlay: Overlay, _opened: list[int]) -> None:
    for key, path in _directories(overlay):
        descriptor = _place(path)
        try:
            kernel.fsconfig_fd(context, key, descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        finally:
            os.close(descriptor)


def _by_names(context: int, overlay: Overlay, opened: list[int]) -> None:
    for key, path in _directories(overlay):
        kernel.fsconfig_string(context, key, _name(path, opened))


def _by_text(context: int, overlay: Overlay, opened: list[int]) -> None:
    lowers = ":".join(_name(path, opened) for path in overlay.lowers)
    if len(os.fsencode(lowers)) > _TEXT_LIMIT:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    kernel.fsconfig_string(context, "lowerdir", lowers)
    for key, path in _directories(overlay)[len(overlay.lowers) :]:
        kernel.fsconfig_string(context, key, _name(path, opened))


_NAMING: dict[str, _NameLowers] = {
    DESCRIPTORS: _by_descriptors,
    NAMES: _by_names,
    TEXT: _by_text,
}


def _directories(overlay: Overlay) -> list[tuple[str, str]]:
    pairs = [("lowerdir+", path) for path in overlay.lowers]
    if overlay.upper is not None and overlay.work is not None:
        pairs += [("upperdir", overlay.upper), ("workdir", overlay.work)]
    return pairs


def _name(path: str, opened: list[int]) -> str:
    """`path` itself where the kernel takes it as it is, else a name through a descriptor."""
    if _is_plain(path) and len(os.fsencode(path)) <= _TEXT_LIMIT:
        return path
    opened.append(_place(path))
    return f"{_DESCRIPTORS}/{opened[-1]}"


def _is_plain(text: str) -> bool:
    return _SPECIAL.isdisjoint(text)


def _place(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _set_options(context: int, options: tuple[str, ...]) -> None:
    for option in options:
        key, _, value = option.partition("=")
        try:
            if value:
                kernel.fsconfig_string(context, key, value)
            else:
                kernel.fsconfig_flag(context, key)
        except OSError as error:
            if error.errno != errno.EINVAL or option not in _FIXED:
                raise  # only a kernel without the feature has nothing to switch off


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


# --- mount(2) ---------------------------------------------------------------------------------


def _mount_classic(overlay: Overlay, target: str) -> None:
    """Mount with short names, relative to a directory that a thread of its own goes to."""
    target = os.path.abspath(target)
    flags = 0 if overlay.upper else kernel.MS_RDONLY
    opened: list[int] = []

    def mount_from(base: str, directories: str) -> None:
        unshare(CLONE_FS)
        os.chdir(base)
        for fixed in (_FIXED, ()):
            text = ",".join((directories, *fixed, *overlay.options))
            try:
                kernel.mount("overlay", target, "overlay", flags, text)
            except OSError as error:
                if error.errno != errno.EINVAL or not fixed:
                    raise  # only a kernel without the features refuses to switch them off
            else:
                return

    try:
        base, directories = _shortened(overlay, opened)
        on_private_thread(lambda: mount_from(base, directories))
    finally:
        _close(opened)


def _shortened(overlay: Overlay, opened: list[int]) -> tuple[str, str]:
    """Where to go, and the options that name all directories from there.

    Names relative to their common directory, which people can read in a mount table; numbers of
    descriptors where these are too long, or hold what the options' syntax would trip over.
    """
    paths = [os.path.abspath(path) for _, path in _directories(overlay)]
    base = os.path.commonpath(paths)
    names = [os.path.relpath(path, base) for path in paths]
    options = _directory_options(overlay, names)
    room = kernel.OPTIONS_LIMIT - len(",".join(("", *_FIXED, *overlay.options)))
    if all(map(_is_plain, names)) and len(os.fsencode(options)) < room:
        return base, options
    opened.extend(_place(path) for path in paths)
    return _DESCRIPTORS, _directory_options(overlay, [str(number) for number in opened])


def _directory_options(overlay: Overlay, names: list[str]) -> str:
    count = len(overlay.lowers)
    options = [f"lowerdir={':'.join(names[:count])}"]
    if overlay.upper is not None:
        options += [f"upperdir={names[count]}", f"workdir={names[count + 1]}"]
    return ",".join(options)
