"""The directories of a layer that is being written: resolved in the root, made on demand.

A member's folder may lead through symbolic links of this layer or of those below; it is resolved
to a physical path (no link in it) against the merged tree, and its directory is then opened
without following anything. A directory that only the layers below have is copied up with all its
metadata, as overlayfs itself would; one that nobody has is made with mode 755. Paths are bytes
without a leading slash; `b""` is the root.

A directory's mtime, and the default ACL that files made in it would inherit, are set when it is
let go: until then the open directory remembers them, so that nothing has to be kept in memory
for directories that are done with.
"""

import errno
import os
import stat
from collections import OrderedDict

from lamina.archive.entry import DIR, Entry
from lamina.archive.ground import follow
from lamina.archive.making import settle
from lamina.errors import BadArchive
from lamina.fs.descent import open_folder
from lamina.fs.inroot import shown
from lamina.fs.marks import is_whiteout
from lamina.fs.tree import TreeView
from lamina.fs.walk import walk
from lamina.kernel import xattr
from lamina.kernel.openat import RESOLVE_NO_SYMLINKS, openat2

DEFAULT_ACL = b"system.posix_acl_default"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64  # directories kept open at once, by one of perhaps several threads
_ALIASES = 1024  # names that lead through links, remembered at once
_PATH = 4000  # bytes of a path that one call takes, PATH_MAX less some room
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NO_CALL = (errno.ENOSYS, errno.EPERM)


class Folder:
    """An open directory of the layer, and what it gets when it is let go.

    `mtime_ns` is None where the time is to stay as it comes.
    """

    __slots__ = ("acl", "fd", "mtime_ns", "path")

    def __init__(self, descriptor: int, path: bytes) -> None:
        self.fd = descriptor
        self.path = path
        self.mtime_ns: int | None = None
        self.acl: bytes | None = None


class Folders:
    """Every directory of one layer by path; owns the descriptors it opens.

    Without `layered` the directories are somebody's own: their times and ACLs take their course.
    """

    def __init__(
        self, root: int, lower: TreeView | None, opaque_xattr: bytes, *, layered: bool
    ) -> None:
        self._lower = lower
        self._opaque_xattr = opaque_xattr
        self._layered = layered
        self._root = self._remembered(Folder(root, b""))
        self._open: OrderedDict[bytes, Folder] = OrderedDict()
        self._aliases: dict[bytes, Folder] = {}
        self._hidden: set[int] = set()  # hashes of paths that this layer made opaque
        self.followed: set[bytes] = set()  # links on the way of the aliases
        self.pinned: Folder | None = None  # stays open, whatever else is opened

    # --- from a name to an open directory -----------------------------------------------

    def get(self, name: bytes) -> Folder:
        """The directory that `name` means, links followed, made with what it implies."""
        folder = self._open.get(name)
        if folder is not None:
            self._open.move_to_end(name)
            return folder
        if not name:
            return self._root
        folder = self._aliases.get(name)
        if folder is not None and folder.fd >= 0:
            return folder
        path = self.physical(name)
        folder = self.make(path)
        if path != name:
            if len(self._aliases) >= _ALIASES:
                self.links_changed()
            self._aliases[name] = folder
        return folder

    def physical(self, name: bytes) -> bytes:
        """The path of `name` with every link on the way followed inside the root."""
        if self.existing(name) is not None:
            return name
        alias = self._aliases.get(name)
        if alias is not None and alias.fd >= 0:
            return alias.path
        return self._follow(name)

    def _follow(self, name: bytes) -> bytes:
        start, rest = self._nearest(name)
        return follow(start.path, rest, self._link_target, self._is_absent, self.followed)

    def _link_target(self, path: bytes) -> bytes | None:
        here = self.status(path)
        if here is not None:
            if not stat.S_ISLNK(here.st_mode):
                return None
            parent, _, name = path.rpartition(b"/")
            folder = self.existing(parent)
            assert folder is not None
            return os.readlink(name, dir_fd=folder.fd)
        below = self.below(path)
        if self._lower is None or below is None or not stat.S_ISLNK(below.st_mode):
            return None
        return self._lower.readlink(path)

    def _is_absent(self, path: bytes) -> bool:
        return self.status(path) is None and self.below(path) is None

    # --- what is at a physical path -----------------------------------------------------

    def status(self, path: bytes) -> os.stat_result | None:
        """What this layer (FLAT: the tree) itself has at a physical path."""
        parent, _, name = path.rpartition(b"/")
        folder = self.existing(parent)
        if folder is None:
            return None
        try:
            return os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def below(self, path: bytes) -> os.stat_result | None:
        """What the layers below have at a physical path, unless something above it hides it."""
        if self._lower is None or not self._shows(path.rpartition(b"/")[0]):
            return None
        return self._lower.lstat(path)

    def _shows(self, path: bytes) -> bool:
        """Whether nothing of this layer at the directory `path` or on the way hides the below.

        What hides it is a directory made opaque, or anything that is no directory.
        """
        above = path
        while self._hidden and above:
            if hash(above) in self._hidden:
                return False
            above = above.rpartition(b"/")[0]
        return self.existing(path) is not None or not self._is_blocked(path)

    def _is_blocked(self, path: bytes) -> bool:
        """Whether this layer has something on the way to `path` that is no directory."""
        at, rest = self._nearest(path)
        for name in rest.split(b"/"):
            try:
                status = os.stat(name, dir_fd=at.fd, follow_symlinks=False)
            except FileNotFoundError:
                return False
            if not stat.S_ISDIR(status.st_mode):
                return True
            entered = self._entered(at, name, at.path + b"/" + name if at.path else name)
            assert entered is not None
            at = entered
        return False

    # --- from a physical path to an open directory --------------------------------------

    def existing(self, path: bytes) -> Folder | None:
        """The directory at a physical path, if this layer has it already."""
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            return known
        at, rest = self._nearest(path)
        return self._entered(at, rest, path)

    def _nearest(self, path: bytes) -> tuple[Folder, bytes]:
        """The nearest open directory above a physical path, and the way from there."""
        above = path
        while above:
            above = above.rpartition(b"/")[0]
            folder = self._open.get(above)
            if folder is not None:
                return folder, path[len(above) + 1 :]
        return self._root, path

    def _entered(self, at: Folder, rest: bytes, path: bytes) -> Folder | None:
        try:
            descriptor = _open_beneath(at.fd, rest)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        return self._keep(self._remembered(Folder(descriptor, path)))

    def make(self, path: bytes) -> Folder:
        """The directory at a physical path, made with what it implies if need be."""
        found = self.existing(path)
        if found is not None:
            return found
        at, rest = self._nearest(path)
        for name in rest.split(b"/"):
            path = at.path + b"/" + name if at.path else name
            at = self._entered(at, name, path) or self._imply(at, name, path)
        return at

    def _imply(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        below = self.below(path)
        hidden = self._take_whiteout(parent, name, path)
        is_below = below is not None and stat.S_ISDIR(below.st_mode)
        if below is not None and not is_below and not hidden:
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        made = self.enter_new(parent, name, path)
        if hidden and is_below:
            self.hide_fresh(made)
        if is_below and not hidden:
            assert below is not None
            self._copy_up(made, below)
        elif self._layered:
            settle(made.fd, Entry(path, DIR, 0o755), os.fstat(made.fd))
            made.mtime_ns = 0
        else:
            os.fchmod(made.fd, 0o755)
        return made

    def _take_whiteout(self, parent: Folder, name: bytes, path: bytes) -> bool:
        """Take a whiteout out of the way; True when there was one."""
        try:
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if self._lower is None or not is_whiteout(status):
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        os.unlink(name, dir_fd=parent.fd)
        return True

    def _copy_up(self, made: Folder, below: os.stat_result) -> None:
        assert self._lower is not None
        mode = stat.S_IMODE(below.st_mode)
        carried = self._lower.xattrs(made.path)
        entry = Entry(made.path, DIR, mode, below.st_uid, below.st_gid, xattrs=carried)
        self.settle(made, entry)
        made.mtime_ns = below.st_mtime_ns

    def settle(self, folder: Folder, entry: Entry) -> None:
        """Give a directory a member's owner, mode and attributes; a default ACL waits."""
        settle(folder.fd, entry, os.fstat(folder.fd))
        if self._layered:
            folder.acl = dict(entry.xattrs).get(DEFAULT_ACL) if entry.xattrs else None
            if folder.acl is not None:
                xattr.remove(folder.fd, DEFAULT_ACL)

    def enter_new(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        """Open a directory that was made just now."""
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        return self._keep(Folder(descriptor, path))

    # --- hiding what lies below ---------------------------------------------------------

    def hide_fresh(self, folder: Folder) -> None:
        """Make a directory opaque that is empty still."""
        self._hidden.add(hash(folder.path))
        xattr.set_value(folder.fd, self._opaque_xattr, b"y")

    def hide(self, folder: Folder) -> None:
        """Make a directory opaque.

        A whiteout in an opaque directory hides nothing, and the kernel lists it as a name that
        is not there: those are taken away.
        """
        for found in walk(folder.fd):
            if is_whiteout(found.status):
                os.unlink(found.name, dir_fd=found.directory)
        self.hide_fresh(folder)
        self.links_changed()

    # --- when something is replaced, removed or done with -------------------------------

    def links_changed(self) -> None:
        """A link was made or went: names that lead through links must be resolved anew."""
        self._aliases.clear()
        self.followed.clear()

    def forget(self, path: bytes) -> None:
        """The directory at a physical path is about to go, with all below it."""
        inside = path + b"/"
        for known in [each for each in self._open if each == path or each.startswith(inside)]:
            folder = self._open.pop(known)
            os.close(folder.fd)
            folder.fd = -1
        self.links_changed()

    def _remembered(self, folder: Folder) -> Folder:
        """Remember of a directory that was there before what working in it would change."""
        if self._layered:
            folder.mtime_ns = os.fstat(folder.fd).st_mtime_ns
            folder.acl = xattr.get(folder.fd, DEFAULT_ACL)
            if folder.acl is not None:
                xattr.remove(folder.fd, DEFAULT_ACL)
        return folder

    def _keep(self, folder: Folder) -> Folder:
        while len(self._open) >= _KEPT:
            path, oldest = self._open.popitem(last=False)
            if oldest is self.pinned:
                self._open[path] = oldest
                continue
            self._finish(oldest)
            os.close(oldest.fd)
            oldest.fd = -1
        self._open[folder.path] = folder
        return folder

    def _finish(self, folder: Folder) -> None:
        """Give a directory what it was to get in the end."""
        if folder.acl is not None:
            xattr.set_value(folder.fd, DEFAULT_ACL, folder.acl)
        if folder.mtime_ns is not None:
            os.utime(folder.fd, ns=(folder.mtime_ns, folder.mtime_ns))

    def finish(self) -> None:
        """Give every directory that is still open its time; raises OSError."""
        for folder in (*self._open.values(), self._root):
            self._finish(folder)

    def close(self) -> None:
        """Close what was opened; the root's descriptor stays the caller's."""
        for folder in self._open.values():
            os.close(folder.fd)
        self._open.clear()


def _open_beneath(directory: int, path: bytes) -> int:
    """Open the directory at `path`, no link followed, however long it is."""
    if b"/" not in path:
        return os.open(path, _DIRECTORY, dir_fd=directory)
    if len(path) > _PATH:
        return open_folder(directory, path)
    try:
        return openat2(directory, path, _DIRECTORY, 0, RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno not in _NO_CALL:
            raise
        return open_folder(directory, path)
