"""The trees that COPY and ADD read from: a directory of this machine, or an earlier chain.

One narrow view for both: status, links, children with their status, content. A context is read by
descriptor and no link is followed by the kernel; what the ignore file excludes is not there.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from lamina.build.smallfiles import SmallFiles
from lamina.errors import BuildError, LaminaError, from_oserror
from lamina.fs.status import is_directory, packed
from lamina.fs.tree import READING, FlatTree, TreeView, Xattrs, carried_xattrs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMES = sys.getfilesystemencoding()  # as os.fsencode has it, in a third of the time
NOTHING_KNOWN = SmallFiles(None)


class Child(NamedTuple):
    """One entry of a directory with its packed status (`lamina.fs.status`).

    `excluded` directories are walked only for what is brought back.
    """

    name: bytes
    status: bytes
    excluded: bool = False


class SourceTree(Protocol):
    """What selection, digests and copying need of a tree."""

    @property
    def title(self) -> str:
        """What messages call it: `the build context`, `stage build`."""

    @property
    def keeps_owners(self) -> bool:
        """Whether numeric owners are carried over (a stage) or are 0:0 (a context)."""

    @property
    def contents(self) -> SmallFiles:
        """What is known of the bytes of small files, so that they need not be read."""

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing to be seen."""

    def readlink(self, path: bytes) -> bytes:
        """A symbolic link's target."""

    def children(self, path: bytes) -> list[Child]:
        """The entries of a directory, by name."""

    def open(self, path: bytes) -> int:
        """A descriptor for reading."""

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes that a layer carries."""

    def xattrs_of_open(self, descriptor: int, path: bytes) -> Xattrs:
        """The same of a file that `open` opened."""

    def why_absent(self, path: bytes) -> str:
        """What hides `path` (`excluded by line 3 of .dockerignore`), or nothing."""


def unreadable(error: OSError, tree: SourceTree, path: bytes = b"") -> LaminaError:
    """What is to be raised when a tree, or the file at `path` of it, cannot be read.

    A context that the kernel does not let us read is a mistake with a place in the Dockerfile.
    """
    action = "reading" if path else f"reading {tree.title}:"
    said = from_oserror(error, action, os.fsdecode(path))
    if error.errno not in (errno.EACCES, errno.EPERM) or tree.keeps_owners:
        return said
    return BuildError(said.brief, hint="make it readable, or keep it out by .dockerignore")


class Ignore(Protocol):
    """What the ignore file says, by path relative to the context."""

    def excludes(self, path: str) -> bool:
        """Whether `path` is excluded."""

    def may_bring_back_below(self, folder: str) -> bool:
        """Whether a `!` pattern could bring back something below an excluded directory."""

    def reason(self, path: str) -> str:
        """Which line of which file excludes `path`, in words."""

    @property
    def brings_back(self) -> bool:
        """Whether it has a `!` pattern at all."""


def _statuses(entries: Iterable[os.DirEntry[str]]) -> Iterator[Child]:
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # it went since it was listed, as an editor's and a compiler's files do
        yield Child(entry.name.encode(_NAMES, "surrogateescape"), packed(status))


class ContextTree:
    """A directory of this machine, less what `ignore` excludes."""

    title = "the build context"
    keeps_owners = False

    def __init__(self, directory: int, ignore: Ignore | None) -> None:
        self.contents = NOTHING_KNOWN
        self._directory = directory
        self._tree = FlatTree(directory)
        self._ignore = ignore

    def again(self) -> "ContextTree":
        """The same for another thread, which closes it: a tree is of one thread at a time."""
        other = ContextTree(os.dup(self._directory), self._ignore)
        other.title = self.title
        other.contents = self.contents
        return other

    @property
    def ignore_alone(self) -> Ignore | None:
        """What only excludes: None where there is no ignore file, or one that brings back."""
        return None if self._ignore is None or self._ignore.brings_back else self._ignore

    def _hidden(self, path: bytes) -> bool:
        return self._excluded(path) and not self._may_reach_below(path)

    def _excluded(self, path: bytes) -> bool:
        return bool(path) and self._ignore is not None and self._ignore.excludes(os.fsdecode(path))

    def _may_reach_below(self, path: bytes) -> bool:
        return self._ignore is not None and self._ignore.may_bring_back_below(os.fsdecode(path))

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when it is missing or excluded."""
        return None if self._hidden(path) else self._tree.lstat(path)

    def readlink(self, path: bytes) -> bytes:
        """A symbolic link's target; raises OSError."""
        return self._tree.readlink(path)

    def children(self, path: bytes) -> list[Child]:
        """The entries of a directory, by name; raises OSError."""
        directory = self._enter(path)
        try:
            with os.scandir(directory) as entries:
                found = sorted(_statuses(entries))
        finally:
            os.close(directory)
        if self._ignore is None:
            return found
        return self._visible(path + b"/" if path else b"", found)

    def _visible(self, prefix: bytes, found: list[Child]) -> list[Child]:
        kept = []
        for child in found:
            if not self._excluded(prefix + child.name):
                kept.append(child)
            elif is_directory(child.status) and self._may_reach_below(prefix + child.name):
                kept.append(child._replace(excluded=True))
        return kept

    def _enter(self, path: bytes) -> int:
        place = self._tree.locate(path)
        if place is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        directory, name = place
        return os.open(name or b".", _DIRECTORY, dir_fd=directory)

    def open(self, path: bytes) -> int:
        """A descriptor for reading what `children` or `lstat` called a file; raises OSError.

        One call, since a context may have a million of them.
        """
        folder, _, name = path.rpartition(b"/")
        return os.open(name, READING, dir_fd=self._tree.folder(folder))

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes that a layer carries."""
        return self._tree.xattrs(path)

    def xattrs_of_open(self, descriptor: int, _path: bytes) -> Xattrs:
        """The attributes, without looking for the file again."""
        return carried_xattrs(descriptor)

    def why_absent(self, path: bytes) -> str:
        """Which line of the ignore file hides `path`."""
        if self._ignore is None or not self._hidden(path) or self._tree.lstat(path) is None:
            return ""
        return self._ignore.reason(os.fsdecode(path))

    def close(self) -> None:
        """Give up every descriptor."""
        self._tree.close()


class ChainTree:
    """The tree of an earlier stage or of an image, opened when it is first looked at."""

    keeps_owners = True
    contents = NOTHING_KNOWN

    def __init__(self, view: Callable[[], TreeView], title: str) -> None:
        self._opener = view
        self._opened: TreeView | None = None
        self.title = title

    @property
    def _view(self) -> TreeView:
        if self._opened is None:
            self._opened = self._opener()
        return self._opened

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing."""
        return self._view.lstat(path)

    def readlink(self, path: bytes) -> bytes:
        """A symbolic link's target; raises OSError."""
        return self._view.readlink(path)

    def children(self, path: bytes) -> list[Child]:
        """The entries of a directory, by name; raises OSError."""
        prefix = path + b"/" if path else b""
        found = []
        for name in self._view.listdir(path):
            status = self._view.lstat(prefix + name)
            if status is not None:
                found.append(Child(name, packed(status)))
        return found

    def open(self, path: bytes) -> int:
        """A descriptor for reading; raises OSError."""
        return self._view.open(path)

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes that a layer carries."""
        return self._view.xattrs(path)

    def xattrs_of_open(self, _descriptor: int, path: bytes) -> Xattrs:
        """The attributes; a view's descriptor may be of a file elsewhere that holds the bytes."""
        return self._view.xattrs(path)

    def why_absent(self, path: bytes) -> str:
        """Nothing is hidden in a stage."""
        return ""

    def close(self) -> None:
        """Give up every descriptor."""
        if self._opened is not None:
            self._opened.close()


class NoTree:
    """What a build without a context copies from."""

    ignore_alone: Ignore | None = None
    title = "a build without a context"
    keeps_owners = False
    contents = NOTHING_KNOWN

    def lstat(self, path: bytes) -> os.stat_result | None:
        """There is nothing."""
        return None

    def readlink(self, path: bytes) -> bytes:
        """There is nothing."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))

    def children(self, path: bytes) -> list[Child]:
        """There is nothing."""
        return []

    def open(self, path: bytes) -> int:
        """There is nothing."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))

    def xattrs(self, path: bytes) -> Xattrs:
        """There is nothing."""
        return ()

    def xattrs_of_open(self, _descriptor: int, path: bytes) -> Xattrs:
        """There is nothing."""
        return self.xattrs(path)

    def why_absent(self, path: bytes) -> str:
        """The reason is always the same."""
        return "the Dockerfile came without a context"

    def close(self) -> None:
        """There is nothing to close."""
