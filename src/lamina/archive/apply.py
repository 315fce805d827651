"""Writing a layer's members into a directory, so that every driver shows the same tree.

A layer means its members applied in order onto one flat root (docs/format/layer-semantics.md).
FLAT does just that: the directory holds all layers below already, and a whiteout deletes.
OVERLAY writes into an empty upper directory, in overlayfs's form, what makes the union that
very tree; it looks at the layers below where the meaning needs it.

What a layer is written onto is a `Ground`: directories on disk (`apply`), or another tree that
is to become a layer (`apply_onto`). Knows what members mean; opens nothing itself.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import Generic, Literal

from lamina.archive.clearing import salvage
from lamina.archive.directories import Directories
from lamina.archive.entry import DIR, FILE, HARDLINK, SYMLINK, Body, Entry, Segment
from lamina.archive.ground import Ground, W, leads_through
from lamina.archive.own import Own
from lamina.archive.results import Figures, Placement
from lamina.archive.whiteout import PREFIX, Whiteout, classify
from lamina.errors import BadArchive, LaminaError, StorageError, from_oserror
from lamina.fs.inroot import shown
from lamina.fs.marks import is_whiteout
from lamina.fs.tree import TreeView
from lamina.kernel.namespaces import is_mapped

FLAT: Literal["flat"] = "flat"
OVERLAY: Literal["overlay"] = "overlay"
Form = Literal["flat", "overlay"]

_SIZE_LIMIT = 1 << 50  # bytes, holes included, so that an image's layers add up to a number
_ID_LIMIT = 0xFFFFFFFF  # (uid_t) -1 means "leave it", chown(2)
_IN_THE_WAY = (errno.ENOTDIR, errno.ELOOP)


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
    is kept in the directory `salvage_fd`, named `<inode>.<files placed until then>`, so that the
    tar can still be exported. Without `whiteouts` this is no layer: `.wh.` names are names like
    any other, and directories that no member names take their course.

    Raises `BadArchive` naming the member, or a `StorageError` in the kernel's words; what was
    written until then is the caller's to remove.
    """
    below = lower if form == OVERLAY else None
    ground = Directories(root, below, opaque_xattr, layered=whiteouts)
    flat = form == FLAT
    own = Own(everything=not (flat and whiteouts) or not os.listdir(root))
    applier = _Applier(ground, own, below, flat, on_placed, salvage_fd, whiteouts)
    try:
        return applier.run(segments)
    finally:
        ground.close()


def apply_onto(
    ground: Ground[W],
    segments: Iterable[Segment],
    *,
    lower: TreeView | None,
    on_placed: Callable[[Placement], None] | None,
) -> Figures:
    """Put the members onto an empty ground, in overlayfs's form over `lower`.

    Raises what `apply` raises.
    """
    own = Own(everything=True)
    return _Applier(ground, own, lower, False, on_placed, None, True).run(segments)


class _Applier(Generic[W]):
    """The state of one application; one method per kind of member."""

    def __init__(
        self,
        ground: Ground[W],
        own: Own,
        lower: TreeView | None,
        flat: bool,
        on_placed: Callable[[Placement], None] | None,
        salvage_fd: int | None,
        layered: bool,
    ) -> None:
        self._size = self._entries = self._whiteouts = 0
        self._ground = ground
        self._own = own
        self._lower = lower
        self._flat = flat
        self._on_placed = on_placed
        self._placed = 0
        self._salvage = salvage_fd
        self._layered = layered
        self._has_root = False
        self._emptied: set[int] = set()  # hashes of directories whose lower content is gone

    def run(self, segments: Iterable[Segment]) -> Figures:
        """Apply all of them."""
        for segment in segments:
            if segment.entry is not None:
                self.add(segment.entry, segment.body)
        if not self._has_root:
            self._show_root_below()
        self.finish()
        return Figures(self._size, self._entries, self._whiteouts)

    def _show_root_below(self) -> None:
        """Give the root the metadata of the root below: no member said what it is."""
        below = self._lower.lstat(b"") if self._lower is not None else None
        if self._lower is None or below is None:
            return
        mode = stat.S_IMODE(below.st_mode)
        carried = self._lower.xattrs(b"")
        entry = Entry(b"", DIR, mode, below.st_uid, below.st_gid, 0, below.st_mtime_ns)
        try:
            entry = entry._replace(xattrs=carried)
            self._ground.describe(self._ground.get(b""), entry, fresh=False)
        except OSError as error:
            raise from_oserror(error, "copying the root's metadata") from error

    def finish(self) -> None:
        """Set the directories' times, now that nothing changes them any more."""
        try:
            self._ground.finish()
        except OSError as error:
            raise from_oserror(error, "setting the times of directories") from error

    def add(self, entry: Entry, body: Body) -> None:
        """Apply one member; every failure names it."""
        try:
            if self._layered and PREFIX in entry.name:
                mark = classify(entry.name)
                if mark is not None:
                    self._mark(mark)
                    return
            self._entries += 1
            self._place(entry, body)
        except OSError as error:
            raise _named(error, entry) from error
        except BadArchive as error:
            if not entry.name or shown(entry.name) in error.brief:
                raise
            raise BadArchive(f"the member {shown(entry.name)}: {error.brief}") from error

    # --- whiteouts ----------------------------------------------------------------------

    def _mark(self, mark: Whiteout) -> None:
        if mark.what == "aufs":
            return
        self._whiteouts += 1
        folder = self._ground.physical(mark.folder)
        if mark.what == "opaque":
            self._hide_below(folder)
        else:
            self._remove(folder, mark.base)

    def _remove(self, folder: bytes, name: bytes) -> None:
        path = folder + b"/" + name if folder else name
        here = self._ground.status(path)
        below = self._ground.below(path)
        if here is None and below is None:
            return
        where = self._ground.make(folder)
        self._ground.links_changed()
        self._own.add(folder)
        if here is not None:
            self._clear(where, name, path)
        if below is not None:
            self._ground.put_whiteout(where, name)

    def _hide_below(self, path: bytes) -> None:
        """Opaque: of what lies in the directory only this layer's own stays."""
        if hash(path) in self._emptied or not self._is_directory(path):
            return
        self._own.add(path)  # its marker brings the directory, as a member of it would
        if self._flat:
            self._empty_of_lower(path)
        elif not path:
            self._hide_below_root()
        else:
            self._hide(path)
        self._emptied.add(hash(path))

    def _is_directory(self, path: bytes) -> bool:
        """Whether the merged tree has a directory at a physical path now."""
        if not path:
            return True
        status = self._ground.status(path) or self._ground.below(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _hide(self, path: bytes) -> None:
        below = self._ground.below(path)
        if below is not None and stat.S_ISDIR(below.st_mode):
            self._ground.hide(self._ground.make(path))
        self._give_back(path)

    def _give_back(self, folder: bytes) -> None:
        """Take away what was copied up below a folder for a link alone."""
        for path in self._own.take_back(folder):
            if self._ground.status(path) is not None:
                at, _, name = path.rpartition(b"/")
                self._ground.clear(self._ground.make(at), name, path, _forget)

    def _hide_below_root(self) -> None:
        """overlayfs takes no opaque mark on a layer's root: hide each name below by itself."""
        if self._lower is None:
            return
        self._ground.links_changed()
        self._give_back(b"")
        root = self._ground.get(b"")
        for name in self._lower.listdir(b""):
            here = self._ground.status(name)
            if here is None:
                self._ground.put_whiteout(root, name)
            elif stat.S_ISDIR(here.st_mode):
                self._hide(name)

    def _empty_of_lower(self, folder: bytes) -> None:
        """FLAT: remove below `folder` what this layer did not write."""
        waiting = [folder]
        while waiting:
            at = waiting.pop()
            where = self._ground.make(at)
            for name in self._ground.listdir(where):
                path = at + b"/" + name if at else name
                if path not in self._own:
                    self._clear(where, name, path)
                elif hash(path) not in self._emptied and self._ground.is_directory(where, name):
                    waiting.append(path)

    # --- ordinary members ---------------------------------------------------------------

    def _place(self, entry: Entry, body: Body) -> None:
        if not (0 <= entry.uid < _ID_LIMIT and 0 <= entry.gid < _ID_LIMIT):
            raise BadArchive("its owner is out of range")
        if not entry.name:
            self._root_entry(entry)
            return
        folder, _, name = entry.name.rpartition(b"/")
        where = self._ground.pinned = self._ground.get(folder)
        if where.path == folder:
            path = entry.name
        else:
            path = where.path + b"/" + name if where.path else name
        if self._ground.followed and leads_through(self._ground.followed, path):
            self._ground.links_changed()  # a link below was followed, and is perhaps hidden now
        if entry.kind == FILE:
            self._file(entry, body, where, name, path)
        elif entry.kind == DIR:
            self._directory(entry, where, name, path)
        elif entry.kind == SYMLINK:
            self._make(where, name, path, lambda: self._ground.put_symlink(where, name, entry))
            self._ground.links_changed()
        elif entry.kind == HARDLINK:
            self._hard_link(entry, where, name, path)
        else:
            self._make(where, name, path, lambda: self._ground.put_node(where, name, entry))
        self._own.add(path)

    def _root_entry(self, entry: Entry) -> None:
        if entry.kind != DIR:
            raise BadArchive("the root entry is no directory")
        self._has_root = True
        self._ground.describe(self._ground.get(b""), entry, fresh=False)

    def _make(self, where: W, name: bytes, path: bytes, make: Callable[[], None]) -> None:
        """Make an entry that is no directory, taking away what stands in its place."""
        try:
            make()
        except FileExistsError:
            self._clear(where, name, path)
            make()

    def _file(self, entry: Entry, body: Body, where: W, name: bytes, path: bytes) -> None:
        try:
            inode = self._ground.put_file(where, name, entry, body)
        except FileExistsError:
            self._clear(where, name, path)
            inode = self._ground.put_file(where, name, entry, body)
        self._size += entry.size
        if self._size > _SIZE_LIMIT:
            raise BadArchive("with it the layer's files have more than a pebibyte together")
        self._placed += 1
        if self._on_placed is not None:
            self._on_placed(Placement(path, inode))

    def _directory(self, entry: Entry, where: W, name: bytes, path: bytes) -> None:
        try:
            made = self._ground.put_directory(where, name, path)
        except FileExistsError:
            if self._ground.is_directory(where, name):
                self._ground.describe(self._ground.make(path), entry, fresh=False)
                return
            self._clear(where, name, path)
            below = self._ground.below(path)
            made = self._ground.put_directory(where, name, path)
            if below is not None and stat.S_ISDIR(below.st_mode):
                self._ground.hide_fresh(made)
        self._ground.describe(made, entry, fresh=True)

    def _hard_link(self, entry: Entry, where: W, name: bytes, path: bytes) -> None:
        folder, _, base = entry.link.rpartition(b"/")
        physical = self._ground.physical(folder)
        target = physical + b"/" + base if physical else base
        if not base or target == path or target.startswith(path + b"/"):
            raise BadArchive("it is a hard link to itself")
        origin = self._link_origin(target, physical, base)
        self._make(where, name, path, lambda: self._ground.put_link(where, name, origin, base))

    def _link_origin(self, target: bytes, physical: bytes, base: bytes) -> W:
        """The directory that holds the link's target, copied up from below if need be."""
        here = self._ground.status(target)
        below = self._ground.below(target)
        found = here or below
        if found is None or (not self._flat and is_whiteout(found)):
            raise BadArchive(f"its hard link target {shown(target)} is missing")
        if stat.S_ISDIR(found.st_mode):
            raise BadArchive(f"its hard link target {shown(target)} is a directory")
        if here is not None:
            return self._ground.make(physical)
        assert below is not None
        self._lend(target)
        origin = self._ground.make(physical)
        self._ground.copy_up(target, below, origin, base)
        return origin

    def _lend(self, path: bytes) -> None:
        while path and self._ground.status(path) is None:
            self._own.lend(path)
            path = path.rpartition(b"/")[0]

    # --- taking away --------------------------------------------------------------------

    def _clear(self, where: W, name: bytes, path: bytes) -> None:
        """Remove what stands at `path` in this directory, whatever it is; salvage our files."""
        self._ground.clear(where, name, path, self._keep_content)

    def _keep_content(
        self, directory: int, name: bytes, path: bytes, status: os.stat_result
    ) -> None:
        if self._salvage is not None and status.st_size and path in self._own:
            kept = b"%d.%d" % (status.st_ino, self._placed)
            salvage(directory, name, self._salvage, kept, status.st_size)


def _forget(_directory: int, _name: bytes, _path: bytes, _status: os.stat_result) -> None:
    """What goes is no content of this layer."""


def _named(error: OSError, entry: Entry) -> LaminaError:
    if error.errno == errno.ENAMETOOLONG:
        return BadArchive(f"the member {shown(entry.name)}: its name is too long")
    if error.errno == errno.EINVAL and not is_mapped(entry.uid, entry.gid):
        return StorageError(
            f"extracting {shown(entry.name)}: its owner {entry.uid}:{entry.gid} is not among the "
            "IDs of this user namespace",
            hint="give the user more in /etc/subuid and /etc/subgid, and map them all "
            "(`unshare --map-root-user --map-auto`, `podman unshare`)",
        )
    if error.errno in _IN_THE_WAY:
        return BadArchive(f"the member {shown(entry.name)}: a parent of it is no directory")
    return from_oserror(error, "extracting", shown(entry.name))
