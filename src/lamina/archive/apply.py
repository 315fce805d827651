"""Writing a layer's members into a directory, so that every driver shows the same tree.

A layer means its members applied in order onto one flat root (docs/format/layer-semantics.md).
FLAT does just that: the directory holds all layers below already, and a whiteout deletes.
OVERLAY writes into an empty upper directory, in overlayfs's form, what makes the union that
very tree; it looks at the layers below where the meaning needs it.

Everything is opened and changed through descriptors beneath the root; no name of a member ever
reaches the kernel as a path with more than one component. Does not protect against another
privileged process that changes the directory meanwhile.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from lamina.archive.entry import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Body,
    Entry,
    Segment,
)
from lamina.archive.folders import Folder, Folders
from lamina.archive.whiteout import PREFIX, Whiteout, classify
from lamina.errors import BadArchive, LaminaError, from_oserror
from lamina.fs.copy import copy_file
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView, is_whiteout, keep_xattr
from lamina.fs.walk import walk
from lamina.kernel import xattr

FLAT: Literal["flat"] = "flat"
OVERLAY: Literal["overlay"] = "overlay"
Form = Literal["flat", "overlay"]

_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL = {CHAR: stat.S_IFCHR, BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO}
_ID_LIMIT = 0xFFFFFFFF


class Figures(NamedTuple):
    """What a layer brought: `size` in bytes of its regular files, its members, its whiteouts."""

    size: int
    entries: int
    whiteouts: int


class Placement(NamedTuple):
    """Where a regular file landed: its physical path below the root, and its inode."""

    path: bytes
    inode: int


def apply(
    root: int,
    segments: Iterable[Segment],
    *,
    lower: TreeView | None = None,
    form: Form = FLAT,
    opaque_xattr: bytes = b"trusted.overlay.opaque",
    on_placed: Callable[[Placement], None] | None = None,
    salvage_fd: int | None = None,
    whiteouts: bool = True,
) -> Figures:
    """Write the members into the directory `root`; its descriptor stays the caller's.

    `lower` shows the layers below (OVERLAY). A file of this layer that a later member destroys
    is moved into the directory `salvage_fd` under its inode's number, so that the tar can still
    be exported. Without `whiteouts`, `.wh.` names are names like any other.

    Raises `BadArchive` naming the member, or a `StorageError` in the kernel's words; what was
    written until then is the caller's to remove.
    """
    applier = _Applier(root, lower, form, opaque_xattr, on_placed, salvage_fd)
    try:
        for segment in segments:
            if segment.entry is not None:
                applier.add(segment.entry, segment.body, whiteouts)
        applier.folders.set_times()
    finally:
        applier.folders.close()
    return Figures(applier.size, applier.entries, applier.whiteouts)


def _umask() -> int:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o777


class _Applier:
    """The state of one application; one method per kind of member."""

    def __init__(
        self,
        root: int,
        lower: TreeView | None,
        form: Form,
        opaque_xattr: bytes,
        on_placed: Callable[[Placement], None] | None,
        salvage_fd: int | None,
    ) -> None:
        self.folders = Folders(root, lower if form == OVERLAY else None, opaque_xattr)
        self.size = self.entries = self.whiteouts = 0
        self._root = root
        self._lower = lower
        self._flat = form == FLAT
        self._on_placed = on_placed
        self._salvage = salvage_fd
        self._needs_chmod = 0o7000 | _umask()
        self._owner = (os.geteuid(), os.getegid())
        self._ours: set[bytes] = set()  # FLAT: physical paths that this layer wrote
        self._emptied: set[bytes] = set()  # directories whose lower content is gone already

    def add(self, entry: Entry, body: Body, whiteouts: bool) -> None:
        """Apply one member; every failure names it."""
        try:
            if not (0 <= entry.uid < _ID_LIMIT and 0 <= entry.gid < _ID_LIMIT):
                raise BadArchive("its owner is out of range")
            if whiteouts and PREFIX in entry.name:
                mark = classify(entry.name)
                if mark is not None:
                    self._mark(mark)
                    return
            self.entries += 1
            self._place(entry, body)
        except OSError as error:
            raise _named(error, entry) from error
        except BadArchive as error:
            if shown(entry.name) in error.brief:
                raise
            raise BadArchive(f"the member {shown(entry.name)}: {error.brief}") from error

    # --- whiteouts ----------------------------------------------------------------------

    def _mark(self, mark: Whiteout) -> None:
        if mark.what == "aufs":
            return
        self.whiteouts += 1
        folder = self.folders.physical(mark.folder)
        if mark.what == "opaque":
            self._hide_below(folder)
        else:
            self._remove(folder, mark.base)

    def _remove(self, folder: bytes, name: bytes) -> None:
        path = folder + b"/" + name if folder else name
        here = self._status(path)
        below = self.folders.below(path)
        if here is None and below is None:
            return
        where = self.folders.get(folder)
        if here is not None:
            self._clear(where, name, path)
            if self._flat:
                self._note_ours(folder)
        if below is not None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=where.fd)
            self.folders.forget(path)

    def _status(self, path: bytes) -> os.stat_result | None:
        folder, _, name = path.rpartition(b"/")
        existing = self.folders.existing(folder)
        if existing is None:
            return None
        try:
            return os.stat(name, dir_fd=existing.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _hide_below(self, folder: bytes) -> None:
        """Opaque: of what lies in the directory only this layer's own stays."""
        if folder in self._emptied or not self._is_directory(folder):
            return
        if self._flat:
            self._note_ours(folder)  # its marker brings the directory, as a member of it would
            self._empty_of_lower(folder)
        elif not folder:
            self._hide_below_root()
        else:
            where = self.folders.get(folder)
            self.folders.make_opaque(where.fd, folder)
            self.folders.reopen(folder)
        self._emptied.add(folder)

    def _hide_below_root(self) -> None:
        """overlayfs takes no opaque mark on a layer's root: hide each name below by itself."""
        assert self._lower is not None
        root = self.folders.get(b"")
        for name in self._lower.listdir(b""):
            here = self._status(name)
            if here is None:
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=root.fd)
                self.folders.forget(name)
            elif stat.S_ISDIR(here.st_mode):
                self.folders.make_opaque(self.folders.get(name).fd, name)
                self.folders.reopen(name)

    def _is_directory(self, path: bytes) -> bool:
        """Whether the merged tree has a directory at a physical path now."""
        if not path:
            return True
        status = self._status(path) or self.folders.below(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _empty_of_lower(self, folder: bytes) -> None:
        """FLAT: remove below `folder` what this layer did not write."""
        waiting = [folder]
        while waiting:
            at = waiting.pop()
            where = self.folders.get(at)
            for each in os.listdir(where.fd):
                name = os.fsencode(each)
                path = at + b"/" + name if at else name
                if path not in self._ours:
                    self._clear(where, name, path)
                elif stat.S_ISDIR(os.stat(name, dir_fd=where.fd, follow_symlinks=False).st_mode):
                    waiting.append(path)

    # --- ordinary members ---------------------------------------------------------------

    def _place(self, entry: Entry, body: Body) -> None:
        if not entry.name:
            self._root_entry(entry)
            return
        folder, _, name = entry.name.rpartition(b"/")
        where = self.folders.get(self.folders.physical(folder))
        path = where.path + b"/" + name if where.path else name
        if entry.kind == FILE:
            self._file(entry, body, where, name, path)
        elif entry.kind == DIR:
            self._directory(entry, where, name, path)
        elif entry.kind == SYMLINK:
            self._make(where, name, path, lambda: os.symlink(entry.link, name, dir_fd=where.fd))
            self._metadata_by_name(entry, where, name)
        elif entry.kind == HARDLINK:
            self._hard_link(entry, where, name, path)
        else:
            self._special(entry, where, name, path)
        if self._flat:
            self._note_ours(path)

    def _note_ours(self, path: bytes) -> None:
        while path and path not in self._ours:
            self._ours.add(path)
            path = path.rpartition(b"/")[0]

    def _root_entry(self, entry: Entry) -> None:
        if entry.kind != DIR:
            raise BadArchive("the root entry is no directory")
        self._metadata(entry, self._root, 0)
        self.folders.times[b""] = entry.mtime_ns

    def _make(self, where: Folder, name: bytes, path: bytes, make: Callable[[], None]) -> None:
        """Make an entry that is no directory, taking away what stands in its place."""
        if self.folders.is_known(path):
            self.folders.forget(path)
        try:
            make()
        except FileExistsError:
            self._clear(where, name, path)
            make()

    def _file(self, entry: Entry, body: Body, where: Folder, name: bytes, path: bytes) -> None:
        if self.folders.is_known(path):
            self.folders.forget(path)
        mode = entry.mode
        try:
            made = os.open(name, _NEW, mode & 0o777, dir_fd=where.fd)
        except FileExistsError:
            self._clear(where, name, path)
            made = os.open(name, _NEW, mode & 0o777, dir_fd=where.fd)
        try:
            if entry.sparse is not None:
                _write_sparse(made, entry, body)
            elif entry.size:
                _write_body(made, body)
            self._metadata(entry, made, mode)
            os.utime(made, ns=(entry.mtime_ns, entry.mtime_ns))
            if self._on_placed is not None:
                self._on_placed(Placement(path, os.fstat(made).st_ino))
        finally:
            os.close(made)
        self.size += entry.size

    def _metadata(self, entry: Entry, descriptor: int, made_with: int) -> None:
        """Owner, then attributes, then mode: the order in which none undoes another."""
        owned = (entry.uid, entry.gid) != self._owner
        if owned:
            os.fchown(descriptor, entry.uid, entry.gid)
        for key, value in entry.xattrs:
            if keep_xattr(key):
                xattr.set_value(descriptor, key, value)
        if owned or entry.mode != made_with or entry.mode & self._needs_chmod:
            os.fchmod(descriptor, entry.mode)

    def _directory(self, entry: Entry, where: Folder, name: bytes, path: bytes) -> None:
        replaced = self._make_directory(where, name, path)
        descriptor = os.open(name, _DIRECTORY, dir_fd=where.fd)
        try:
            if replaced and where.merges:
                self.folders.make_opaque(descriptor, path)
            self._metadata(entry, descriptor, -1)
        finally:
            os.close(descriptor)
        self.folders.times[path] = entry.mtime_ns

    def _make_directory(self, where: Folder, name: bytes, path: bytes) -> bool:
        """Make the directory if it is not there; True when it took something else's place."""
        try:
            os.mkdir(name, 0o700, dir_fd=where.fd)
        except FileExistsError:
            status = os.stat(name, dir_fd=where.fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return False
            self._clear(where, name, path)
            os.mkdir(name, 0o700, dir_fd=where.fd)
            return True
        if self.folders.was_followed(path):
            self.folders.forget(path)  # a link below was followed here, and is hidden now
        return False

    def _special(self, entry: Entry, where: Folder, name: bytes, path: bytes) -> None:
        device = os.makedev(entry.devmajor, entry.devminor) if entry.kind != FIFO else 0
        kind = _SPECIAL[entry.kind]
        if kind == stat.S_IFCHR and device == 0:
            raise BadArchive("a character device 0:0 would be taken for a whiteout")
        self._make(where, name, path, lambda: os.mknod(name, kind | 0o600, device, dir_fd=where.fd))
        self._metadata_by_name(entry, where, name)

    def _metadata_by_name(self, entry: Entry, where: Folder, name: bytes) -> None:
        """For what cannot be opened; nothing of it follows a link."""
        if (entry.uid, entry.gid) != self._owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=where.fd, follow_symlinks=False)
        for key, value in entry.xattrs:
            if keep_xattr(key):
                xattr.set_value(xattr.place(where.fd, name), key, value)
        if entry.kind != SYMLINK:
            os.chmod(name, entry.mode, dir_fd=where.fd)  # made here just now, and no link
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=where.fd, follow_symlinks=False)

    def _hard_link(self, entry: Entry, where: Folder, name: bytes, path: bytes) -> None:
        folder, _, base = entry.link.rpartition(b"/")
        physical = self.folders.physical(folder)
        target = physical + b"/" + base if physical else base
        if target == path:
            raise BadArchive("it is a hard link to itself")
        origin = self._link_origin(target, physical, base)
        self._make(
            where,
            name,
            path,
            lambda: os.link(
                base, name, src_dir_fd=origin.fd, dst_dir_fd=where.fd, follow_symlinks=False
            ),
        )

    def _link_origin(self, target: bytes, physical: bytes, base: bytes) -> Folder:
        """The directory that holds the link's target, copied up from below if need be."""
        here = self._status(target)
        if here is not None and not (is_whiteout(here) and not self._flat):
            if stat.S_ISDIR(here.st_mode):
                raise BadArchive(f"its hard link target {shown(target)} is a directory")
            return self.folders.get(physical)
        below = self.folders.below(target)
        if below is None or here is not None:
            raise BadArchive(f"its hard link target {shown(target)} is missing")
        if stat.S_ISDIR(below.st_mode):
            raise BadArchive(f"its hard link target {shown(target)} is a directory")
        origin = self.folders.get(physical)
        self._copy_up(origin, base, target, below)
        return origin

    def _copy_up(self, where: Folder, name: bytes, path: bytes, status: os.stat_result) -> None:
        """Copy a file of the layers below into this one, with all its metadata."""
        assert self._lower is not None
        entry = Entry(
            path,
            _kind_of(status),
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            mtime_ns=status.st_mtime_ns,
            link=self._lower.readlink(path) if stat.S_ISLNK(status.st_mode) else b"",
            devmajor=os.major(status.st_rdev),
            devminor=os.minor(status.st_rdev),
            xattrs=self._lower.xattrs(path),
        )
        if entry.kind == SYMLINK:
            os.symlink(entry.link, name, dir_fd=where.fd)
            self._metadata_by_name(entry, where, name)
        elif entry.kind != FILE:
            self._special(entry, where, name, path)
        else:
            self._copy_up_file(entry, where, name, status.st_size)

    def _copy_up_file(self, entry: Entry, where: Folder, name: bytes, size: int) -> None:
        assert self._lower is not None
        source = self._lower.open(entry.name)
        try:
            made = os.open(name, _NEW, 0o600, dir_fd=where.fd)
            try:
                copy_file(source, made, size)
                self._metadata(entry, made, -1)
                os.utime(made, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(made)
        finally:
            os.close(source)

    # --- taking away --------------------------------------------------------------------

    def _clear(self, where: Folder, name: bytes, path: bytes) -> None:
        """Remove what stands at `path` in this directory, whatever it is; salvage our files."""
        self.folders.forget(path)
        status = os.stat(name, dir_fd=where.fd, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            self._unlink(where.fd, name, path, status)
            return
        top = os.open(name, _DIRECTORY, dir_fd=where.fd)
        try:
            folders = []
            for found in walk(top):
                if found.is_directory:
                    folders.append(found.path)
                else:
                    below = path + b"/" + found.path
                    self._unlink(found.directory, found.name, below, found.status)
            for folder in reversed(folders):
                _rmdir_below(top, folder)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=where.fd)
        self._drop_ours(path)

    def _drop_ours(self, path: bytes) -> None:
        self._emptied.discard(path)
        if self._flat:
            inside = path + b"/"
            gone = {each for each in self._ours if each == path or each.startswith(inside)}
            self._ours -= gone

    def _unlink(self, directory: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        ours = not self._flat or path in self._ours
        if self._salvage is not None and ours and stat.S_ISREG(status.st_mode) and status.st_size:
            self._keep_content(directory, name, status.st_ino)
        os.unlink(name, dir_fd=directory)
        self._ours.discard(path)

    def _keep_content(self, directory: int, name: bytes, inode: int) -> None:
        """Give the file a second name among the salvaged ones, if it has none there yet."""
        assert self._salvage is not None
        kept = b"%d" % inode
        try:
            os.link(
                name, kept, src_dir_fd=directory, dst_dir_fd=self._salvage, follow_symlinks=False
            )
        except FileExistsError:
            pass  # another name of the same file was destroyed before


def _rmdir_below(top: int, path: bytes) -> None:
    folder, _, name = path.rpartition(b"/")
    if not folder:
        os.rmdir(name, dir_fd=top)
        return
    parent = os.open(folder, _DIRECTORY, dir_fd=top)
    try:
        os.rmdir(name, dir_fd=parent)
    finally:
        os.close(parent)


def _write_body(descriptor: int, body: Body) -> None:
    while data := body.read(_CHUNK):
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, data[written:])


def _write_sparse(descriptor: int, entry: Entry, body: Body) -> None:
    assert entry.sparse is not None
    for offset, length in entry.sparse:
        os.lseek(descriptor, offset, os.SEEK_SET)
        left = length
        while left:
            data = body.read(min(_CHUNK, left))
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
    os.ftruncate(descriptor, entry.size)


def _kind_of(status: os.stat_result) -> str:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISLNK(mode):
        return SYMLINK
    if stat.S_ISCHR(mode):
        return CHAR
    return BLOCK if stat.S_ISBLK(mode) else FIFO


def _named(error: OSError, entry: Entry) -> LaminaError:
    if error.errno == errno.ENAMETOOLONG:
        return BadArchive(f"the member {shown(entry.name)}: its name is too long")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return BadArchive(f"the member {shown(entry.name)}: a parent of it is no directory")
    return from_oserror(error, "extracting", shown(entry.name))
