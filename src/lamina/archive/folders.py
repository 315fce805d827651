"""The directories of a layer that is being written: resolved in the root, made on demand.

A member's folder may lead through symbolic links of this layer or of those below; it is resolved
to a physical path (no link in it) against the merged tree, and its directory is then opened
component by component without following anything. A directory that only the layers below have
is copied up with all its metadata, as overlayfs itself would; one that nobody has is made with
mode 755. Paths are bytes without a leading slash; `b""` is the root.
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.errors import BadArchive
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView, is_whiteout
from lamina.fs.walk import walk
from lamina.kernel import xattr
from lamina.kernel.openat import RESOLVE_NO_SYMLINKS, openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 192  # directories kept open at once
_LINKS = 40


class Folder(NamedTuple):
    """An open directory of the layer; `merges` when the same directory below shows through."""

    fd: int
    path: bytes
    merges: bool


class Folders:
    """Every directory of one layer by path; owns the descriptors it opens."""

    def __init__(self, root: int, lower: TreeView | None, opaque_xattr: bytes) -> None:
        self._root = Folder(root, b"", lower is not None)
        self._lower = lower
        self._opaque_xattr = opaque_xattr
        self._open: dict[bytes, Folder] = {}
        self._physical: dict[bytes, bytes] = {b"": b""}
        self._followed: set[bytes] = set()
        self.opaque: set[bytes] = set()
        self.times: dict[bytes, int] = {}  # directories' mtimes in ns, set at the very end
        self.made = 0

    # --- from a name to a physical path -------------------------------------------------

    def physical(self, folder: bytes) -> bytes:
        """The path of `folder` with every link on the way followed inside the root."""
        known = self._physical.get(folder)
        if known is not None:
            return known
        prefix = folder.rpartition(b"/")[0]
        while prefix not in self._physical:
            prefix = prefix.rpartition(b"/")[0]
        rest = folder[len(prefix) :].lstrip(b"/")
        found = self._follow(self._physical[prefix], rest, folder)
        self._physical[folder] = found
        return found

    def _follow(self, start: bytes, rest: bytes, asked: bytes) -> bytes:
        done = start.split(b"/") if start else []
        waiting = rest.split(b"/")[::-1]
        links = 0
        while waiting:
            part = waiting.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                del done[-1:]
                continue
            path = b"/".join((*done, part))
            target = self._link_target(path)
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _LINKS:
                raise BadArchive(f"too many symbolic links on the way to {shown(asked)}")
            self._followed.add(path)
            if target.startswith(b"/"):
                done = []
            waiting += target.split(b"/")[::-1]
        return b"/".join(done)

    def _link_target(self, path: bytes) -> bytes | None:
        here = self._status_here(path)
        if here is not None:
            if not stat.S_ISLNK(here.st_mode):
                return None
            parent, _, name = path.rpartition(b"/")
            folder = self.existing(parent)
            assert folder is not None
            return os.readlink(name, dir_fd=folder.fd)
        if self._lower is None or self._is_cut(path):
            return None
        below = self._lower.lstat(path)
        if below is None or not stat.S_ISLNK(below.st_mode):
            return None
        return self._lower.readlink(path)

    def _status_here(self, path: bytes) -> os.stat_result | None:
        parent, _, name = path.rpartition(b"/")
        folder = self.existing(parent)
        if folder is None:
            return None
        try:
            return os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _is_cut(self, path: bytes) -> bool:
        """Whether something of this layer hides what lies below at `path`."""
        while path:
            path = path.rpartition(b"/")[0]
            folder = self._open.get(path)
            if folder is not None:
                return not folder.merges
            if path in self.opaque:
                return True
            here = self._status_here(path) if path else None
            if here is not None and not stat.S_ISDIR(here.st_mode):
                return True
        return not self._root.merges

    def below(self, path: bytes) -> os.stat_result | None:
        """What the layers below show at a physical `path`, where they show through."""
        if self._lower is None or self._is_cut(path):
            return None
        return self._lower.lstat(path)

    # --- from a physical path to an open directory --------------------------------------

    def existing(self, path: bytes) -> Folder | None:
        """The directory at a physical path, if this layer has it already."""
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            return known
        try:
            descriptor = openat2(self._root.fd, path, _DIRECTORY, 0, RESOLVE_NO_SYMLINKS)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        return self._keep(Folder(descriptor, path, self._merges(path)))

    def _merges(self, path: bytes) -> bool:
        if self._lower is None or path in self.opaque or self._is_cut(path):
            return False
        below = self._lower.lstat(path)
        return below is not None and stat.S_ISDIR(below.st_mode)

    def _keep(self, folder: Folder) -> Folder:
        if len(self._open) >= _KEPT:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest).fd)
        self._open[folder.path] = folder
        return folder

    def get(self, path: bytes) -> Folder:
        """The directory at a physical path, made with what it implies if need be."""
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            return known
        found = self.existing(path)
        if found is not None:
            return found
        at = self._root
        parts = path.split(b"/")
        for end in range(1, len(parts) + 1):
            below = self.existing(b"/".join(parts[:end]))
            at = below if below is not None else self._imply(at, parts[end - 1])
        return at

    def _imply(self, parent: Folder, name: bytes) -> Folder:
        path = parent.path + b"/" + name if parent.path else name
        below = self.below(path)
        hidden = self._clear_whiteout(parent, name, path)
        if below is not None and not hidden and not stat.S_ISDIR(below.st_mode):
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        os.mkdir(name, 0o755, dir_fd=parent.fd)
        self.made += 1
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        if hidden:
            self.make_opaque(descriptor, path)
        if below is not None and not hidden:
            self._copy_up(descriptor, path, below)
        else:
            os.fchmod(descriptor, 0o755)
            self.times.setdefault(path, 0)
        return self._keep(Folder(descriptor, path, self._merges(path)))

    def _clear_whiteout(self, parent: Folder, name: bytes, path: bytes) -> bool:
        """Take a whiteout out of the way; True when there was one."""
        try:
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not is_whiteout(status):
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        os.unlink(name, dir_fd=parent.fd)
        return True

    def _copy_up(self, made: int, path: bytes, below: os.stat_result) -> None:
        assert self._lower is not None
        os.fchown(made, below.st_uid, below.st_gid)
        for name, value in self._lower.xattrs(path):
            xattr.set_value(made, name, value)
        os.fchmod(made, stat.S_IMODE(below.st_mode))
        self.times[path] = below.st_mtime_ns

    def make_opaque(self, directory: int, path: bytes) -> None:
        """Hide what lies below the directory, where there is a below.

        A whiteout in an opaque directory hides nothing, and the kernel lists it as a name that
        is not there: those are taken away.
        """
        self.opaque.add(path)
        if self._lower is not None:
            for found in walk(directory):
                if is_whiteout(found.status):
                    os.unlink(found.name, dir_fd=found.directory)
            xattr.set_value(directory, self._opaque_xattr, b"y")

    # --- when something is replaced or removed ------------------------------------------

    def forget(self, path: bytes) -> None:
        """A physical path is no longer what it was: drop what was known of it and below."""
        inside = path + b"/"
        for known in [each for each in self._open if each == path or each.startswith(inside)]:
            os.close(self._open.pop(known).fd)
        for table in (self.times, self.opaque):
            for each in [each for each in table if each == path or each.startswith(inside)]:
                table.pop(each) if isinstance(table, dict) else table.discard(each)
        self._physical = {b"": b""}

    def is_known(self, path: bytes) -> bool:
        """Whether a path was used as a directory or followed as a link."""
        return path in self._open or path in self._followed

    def was_followed(self, path: bytes) -> bool:
        """Whether a path was followed as a link of the layers below."""
        return path in self._followed

    def reopen(self, path: bytes) -> None:
        """A directory became opaque: what shows through it must be asked anew, there and below."""
        inside = path + b"/" if path else b""
        for known in [each for each in self._open if each == path or each.startswith(inside)]:
            os.close(self._open.pop(known).fd)
        if not path:
            self._root = self._root._replace(merges=False)
        self._physical = {b"": b""}

    def set_times(self) -> None:
        """Give every directory its mtime, deepest first, now that nothing changes it any more."""
        for path in sorted(self.times, key=lambda each: (-each.count(b"/"), each)):
            folder = self.existing(path)
            if folder is not None:
                os.utime(folder.fd, ns=(self.times[path], self.times[path]))

    def close(self) -> None:
        """Close what was opened; the root's descriptor stays the caller's."""
        for folder in self._open.values():
            os.close(folder.fd)
        self._open.clear()
