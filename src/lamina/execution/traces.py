"""What a start has to leave in a root, and its taking back: none of it is in the diff.

Mount points that the image lacks are made before the runtime would make them, so that each is
known and the times of the directories around them stay. Where nothing can be mounted, files are
lent and nodes are made in the same way. Each act is written down before it is done; a start after
a killed one (`recover`) takes back what that one left.

The root belongs to a process that may have changed everything by then: it is only entered by
descriptor, and what is no longer as it was made is left alone.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lamina.fs.atomic import write_all, write_file
from lamina.fs.inroot import Root

JOURNAL = "traces"
_MARKS = {".wh..wh..opq", ".wh..opq"}  # in a directory that fuse-overlayfs made
SAVED = "saved."  # files with what is to go back
_LENT_LIMIT = 1 << 20  # bytes of a file that is replaced for a while
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EEXIST)


class _Trace(NamedTuple):
    """`kind`: directory, empty, lent (content of ours), device, or replaced (`saved`: a copy)."""

    kind: str
    path: str
    saved: str = ""
    atime: int = 0  # ns
    mtime: int = 0  # ns


class Traces:
    """Makes things in `root` and takes them back; `folder` keeps the journal."""

    def __init__(self, root: Root, folder: str) -> None:
        self._root = root
        self._folder = folder
        self._made: list[_Trace] = []

    def directory(self, path: bytes, mode: int = 0o755) -> None:
        """Make a directory of that mode, with what is missing above it."""
        for part in self._missing(path):
            self._make_directory(part, mode if part == path else 0o755)

    def empty_file(self, path: bytes) -> None:
        """Make an empty file to mount on."""
        self._make_file("empty", path, b"")

    def lent_file(self, path: bytes, data: bytes) -> None:
        """Put a file with `data` there; a file that is there gets its own bytes back later."""
        if self._root.lstat(path) is None:
            self._make_file("lent", path, data)
        else:
            self._replace(path, data)

    def device(self, path: bytes, mode: int, number: int) -> None:
        """Make a device node."""
        self.directory(path.rpartition(b"/")[0])
        self._note(_Trace("device", os.fsdecode(path)))
        with _undisturbed(self._root, path) as (directory, name):
            os.mknod(name, mode, number, dir_fd=directory)
            os.chmod(name, stat.S_IMODE(mode), dir_fd=directory)

    def take_back(self) -> None:
        """Remove what was made and is still as it was, restore what was replaced."""
        _take_back(self._root, self._folder, self._made)
        self._made.clear()

    def _missing(self, path: bytes) -> list[bytes]:
        parts = [part for part in path.split(b"/") if part]
        every = [b"/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return [part for part in every if self._root.lstat(part) is None]

    def _note(self, trace: _Trace) -> None:
        self._made.append(trace)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        journal = os.open(os.path.join(self._folder, JOURNAL), flags, 0o600)
        try:
            write_all(journal, json.dumps(trace).encode() + b"\n")
        finally:
            os.close(journal)

    def _make_directory(self, path: bytes, mode: int) -> None:
        self._note(_Trace("directory", os.fsdecode(path)))
        with _undisturbed(self._root, path) as (directory, name):
            os.mkdir(name, 0o755, dir_fd=directory)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            try:
                os.fchmod(made, mode)
            finally:
                os.close(made)

    def _make_file(self, kind: str, path: bytes, data: bytes) -> None:
        self.directory(path.rpartition(b"/")[0])
        self._note(_Trace(kind, os.fsdecode(path)))
        with _undisturbed(self._root, path) as (directory, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(name, flags, 0o644, dir_fd=directory)
            try:
                os.fchmod(made, 0o644)
                write_all(made, data)
            finally:
                os.close(made)

    def _replace(self, path: bytes, data: bytes) -> None:
        before = self._root.open_file(path, _LENT_LIMIT)
        status = self._root.lstat(path)
        assert status is not None
        saved = f"{SAVED}{len(self._made)}"
        write_file(os.path.join(self._folder, saved), before, mode=0o600)
        trace = _Trace("replaced", os.fsdecode(path), saved, status.st_atime_ns, status.st_mtime_ns)
        self._note(trace)
        _overwrite(self._root, path, data)


def recover(folder: str, root_path: str) -> None:
    """Take back what a killed start left in `root_path`; nothing when it did not.

    That is the directory, or the file whose file system holds it.

    Raises OSError.
    """
    made = _noted(folder)
    if made is None:
        return
    with _root_at(root_path) as root:
        _take_back(root, folder, made)
    os.unlink(os.path.join(folder, JOURNAL))


def _noted(folder: str) -> list[_Trace] | None:
    """What the journal tells; None where there is none."""
    try:
        with open(os.path.join(folder, JOURNAL), "rb") as file:
            return [_Trace(*json.loads(line)) for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return None


def mount_points(folder: str) -> frozenset[bytes]:
    """What was made in the root to be mounted on, while it is there; no change of the container."""
    made = (each for each in _noted(folder) or () if each.kind in ("directory", "empty"))
    return frozenset(os.fsencode(each.path) for each in made)


def _root_at(path: str) -> Root:
    if os.path.isdir(path):
        return Root.at(path)
    from lamina.fs.limited import open_upper  # few need it

    return Root(open_upper(path))


def _take_back(root: Root, folder: str, made: list[_Trace]) -> None:
    for trace in reversed(made):
        try:
            _undo(root, folder, trace)
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _undo(root: Root, folder: str, trace: _Trace) -> None:
    path = os.fsencode(trace.path)
    if trace.kind == "replaced":
        with open(os.path.join(folder, trace.saved), "rb") as file:
            _overwrite(root, path, file.read(), (trace.atime, trace.mtime))
        return
    with _undisturbed(root, path) as (directory, name):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if trace.kind == "directory":
            _remove_directory(directory, name)
        elif _is_ours(trace, status):
            os.unlink(name, dir_fd=directory)


def _remove_directory(directory: int, name: bytes) -> None:
    """Also one with fuse-overlayfs's marks in it: seen after a kill, where nothing is united."""
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inside = os.open(name, flags, dir_fd=directory)
        try:
            marks = os.listdir(inside)
            if not _MARKS.issuperset(marks):
                raise
            for mark in marks:
                os.unlink(mark, dir_fd=inside)
        finally:
            os.close(inside)
        os.rmdir(name, dir_fd=directory)


def _is_ours(trace: _Trace, status: os.stat_result) -> bool:
    if trace.kind == "device":
        return stat.S_ISCHR(status.st_mode)
    return stat.S_ISREG(status.st_mode) and (trace.kind == "lent" or not status.st_size)


@contextmanager
def _undisturbed(root: Root, path: bytes) -> Iterator[tuple[int, bytes]]:
    """The directory that holds `path` and the last name; its times are put back afterwards."""
    directory, name = root.parent(path)
    try:
        before = os.fstat(directory)
        try:
            yield directory, name
        finally:
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(directory)


def _overwrite(root: Root, path: bytes, data: bytes, times: tuple[int, int] | None = None) -> None:
    """Other bytes in the same file: owner, mode and links stay."""
    descriptor = root.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            write_all(descriptor, data)
            if times is not None:
                os.utime(descriptor, ns=times)
    finally:
        os.close(descriptor)
