"""The contract of a driver, kept with btrfs.

    <home>/                   0710
      subvolumes/<id>         a layer with all below it: a snapshot of its parent, read-only once
                              it is committed
      quotas/<id>             0644   how many bytes of its own the layer may hold

A diff asks the file system which inodes were touched since the snapshot; where it may not be
asked, both trees are walked. What extracts and compares is imported when it is first used.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from lamina.archive.entry import Segment
from lamina.archive.results import Change, Figures
from lamina.drivers.api import OnPlaced
from lamina.errors import ConfigurationError, DriverNotSupported, from_oserror
from lamina.fs.atomic import unlink_if_there
from lamina.fs.mounting import Bind, MountPlan
from lamina.fs.remove import remove_tree
from lamina.fs.tree import FlatTree, StackedTree, TreeView
from lamina.fs.usage import Usage, usage_of
from lamina.kernel import btrfs
from lamina.kernel.ioctl import syncfs
from lamina.values.ids import LayerID
from lamina.values.size import human_binary
from lamina.values.size import parse as parse_size

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_NOT_ASKED = (errno.EPERM, errno.ENOTTY)
_NO_QUOTA = (errno.ENOTCONN, errno.ENOENT, errno.EBUSY, errno.EINVAL)


class BtrfsDriver:
    """Layers as subvolumes beneath `home`; the option `btrfs.min_space` is the least limit."""

    name = "btrfs"
    own = ("subvolumes", "quotas")

    def __init__(self, home: str, options: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._least = parse_size((options or {}).get("btrfs.min_space", "0"))
        for folder, mode in ((home, 0o710), (self._path("subvolumes"), 0o711)):
            os.makedirs(folder, mode=mode, exist_ok=True)

    def _path(self, *names: str) -> str:
        return os.path.join(self.home, *names)

    def _open(self, layer: LayerID) -> int:
        return os.open(self.location(layer), _DIRECTORY)

    # --- making -------------------------------------------------------------------------

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """A new subvolume, or a snapshot of the parent's."""
        try:
            self._make(layer, parent)
        except OSError as error:
            raise from_oserror(error, "making a btrfs layer in", self.home) from error

    def _make(self, layer: LayerID, parent: LayerID | None) -> None:
        folder = os.open(self._path("subvolumes"), _DIRECTORY)
        try:
            if parent is None:
                btrfs.create_subvolume(folder, layer)
                os.chmod(layer, 0o755, dir_fd=folder)
                return
            source = os.open(parent, _DIRECTORY, dir_fd=folder)
            try:
                btrfs.snapshot(source, folder, layer)
            finally:
                os.close(source)
        finally:
            os.close(folder)

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """As `create`; `size` limits what the layer holds beyond its parent."""
        if size is not None and size < self._least:
            raise ConfigurationError(
                f"btrfs: storage size cannot be less than {human_binary(self._least)}",
                hint="give a larger --storage-opt size, or lower btrfs.min_space",
            )
        if size is not None:
            self._note_limit(layer, size)
        self.create(layer, parent)
        if size is not None:
            self._limit(layer, size)

    def _note_limit(self, layer: LayerID, size: int) -> None:
        os.makedirs(self._path("quotas"), mode=0o700, exist_ok=True)
        with open(self._path("quotas", layer), "w", encoding="ascii") as file:
            file.write(str(size))

    def _limit(self, layer: LayerID, size: int) -> None:
        subvolume = self._open(layer)
        try:
            btrfs.enable_quota(subvolume)
            btrfs.limit_exclusive(subvolume, size)
        except OSError as error:
            raise DriverNotSupported(
                f"btrfs cannot limit the size of a layer in {self.home}: {error.strerror}",
                hint="leave out --storage-opt size",
            ) from error
        finally:
            os.close(subvolume)

    def limit(self, layer: LayerID) -> int | None:
        """As it was noted when the layer was made."""
        try:
            with open(self._path("quotas", layer), encoding="ascii") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable[Segment],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> Figures:
        """Write the members into the snapshot; a whiteout deletes."""
        from lamina.archive.apply import FLAT, apply

        root = self._open(layer)
        try:
            return apply(root, segments, form=FLAT, on_placed=on_placed, salvage_fd=salvage_fd)
        finally:
            os.close(root)

    def commit(self, layer: LayerID) -> None:
        """Let the subvolume be changed no more."""
        root = self._open(layer)
        try:
            btrfs.set_readonly(root, True)
        except OSError as error:
            raise from_oserror(error, "committing", self.location(layer)) from error
        finally:
            os.close(root)

    # --- reaching -----------------------------------------------------------------------

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """The subvolume itself; its limit is set again, in case quotas were off meanwhile."""
        size = self.limit(layer) if writable else None
        if size is not None:
            self._limit(layer, size)
        return MountPlan(Bind(self.location(layer), not writable))

    def writable_root(self, layer: LayerID) -> str:
        """The subvolume itself."""
        return self.location(layer)

    def view(self, layer: LayerID) -> TreeView:
        """The subvolume itself."""
        return FlatTree(self._open(layer))

    own_tree = view

    # --- comparing ----------------------------------------------------------------------

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator[Change]:
        """By the inodes that the file system says were touched since the snapshot."""
        new = self._open(layer)
        tree = FlatTree(new)
        try:
            old = self.view(parent) if parent is not None else StackedTree(())
            try:
                yield from self._compare(new, tree, old, parent)
            finally:
                old.close()
        finally:
            tree.close()

    def _compare(
        self, new: int, tree: TreeView, old: TreeView, parent: LayerID | None
    ) -> Iterator[Change]:
        from lamina.archive.diff import names_of_both, tree_changes
        from lamina.drivers.btrfs.touched import Touched

        made = btrfs.subvolume(new)
        if parent is None or not self._is_origin(parent, made):
            yield from tree_changes(tree, old, suspicious=lambda status: True)
            return
        names = names_of_both
        if not btrfs.has_nested(new):  # their inodes are numbered by themselves
            try:
                syncfs(new)
                names = Touched(new, made.made_in).names
            except OSError as error:
                if error.errno not in _NOT_ASKED:
                    raise from_oserror(error, "asking for changes in", self.home) from error
        # a file whose time and size were put back has a ctime all the same
        yield from tree_changes(
            tree, old, suspicious=lambda status: status.st_ctime_ns >= made.made_at, names=names
        )

    def _is_origin(self, parent: LayerID, made: btrfs.Subvolume) -> bool:
        """False when the subvolumes were copied here: then their inodes say nothing."""
        origin = self._open(parent)
        try:
            return btrfs.subvolume(origin).uuid == made.origin
        finally:
            os.close(origin)

    def usage(self, layer: LayerID) -> Usage:
        """What was written since the snapshot, told by the file system's own tree."""
        root = self._open(layer)
        try:
            syncfs(root)
            made = btrfs.subvolume(root)
            return _usage_since(root, made.made_in if any(made.origin) else 0)
        except OSError as error:
            if error.errno not in _NOT_ASKED:
                raise from_oserror(error, "measuring", self.location(layer)) from error
            return usage_of(root)
        finally:
            os.close(root)

    # --- removing -----------------------------------------------------------------------

    def remove(self, layer: LayerID, trash: str) -> None:
        """Rename the subvolume away, then destroy it with the subvolumes in it."""
        try:
            self._destroy(layer, trash)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise from_oserror(error, "removing", self.location(layer)) from error
        unlink_if_there(self._path("quotas", layer))

    def _destroy(self, layer: LayerID, trash: str) -> None:
        root = self._open(layer)
        try:
            number = _released(root)
        finally:
            os.close(root)
        path = os.path.join(trash, f"{layer}.{os.urandom(4).hex()}")
        try:
            os.rename(self.location(layer), path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            path = self.location(layer)
        self._erase(path, number)

    def _erase(self, path: str, number: int | None) -> None:
        folder = os.open(os.path.dirname(path), _DIRECTORY)
        try:
            if number is not None:
                btrfs.destroy_subvolume(folder, os.path.basename(path))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EPERM):
                raise  # with others in it, or by another user, it goes file by file
        finally:
            os.close(folder)
        remove_tree(path)
        if number is not None:
            self._forget_quota(number)

    def _forget_quota(self, number: int) -> None:
        folder = os.open(self.home, _DIRECTORY)
        try:
            btrfs.forget_quota(folder, number)
        except OSError as error:
            if error.errno not in (*_NO_QUOTA, *_NOT_ASKED):
                raise
        finally:
            os.close(folder)

    def set_aside(self, layer: LayerID, target: str) -> str:
        """Rename the subvolume; a read-only one is opened for it and closed again."""
        try:
            root = self._open(layer)
            try:
                was_readonly = btrfs.is_readonly(root)
                btrfs.set_readonly(root, False)
                os.rename(self.location(layer), target)
                btrfs.set_readonly(root, was_readonly)
            finally:
                os.close(root)
        except OSError as error:
            raise from_oserror(error, "setting aside", self.location(layer)) from error
        return target

    # --- telling ------------------------------------------------------------------------

    def layers(self) -> Iterator[LayerID]:
        """Every subvolume in the home."""
        names = os.listdir(self._path("subvolumes"))
        yield from (LayerID(name) for name in sorted(names) if len(name) == 64)

    def location(self, layer: LayerID) -> str:
        """The layer's subvolume."""
        return self._path("subvolumes", layer)

    def status(self) -> tuple[tuple[str, str], ...]:
        """Docker's one row."""
        return (("Btrfs", ""),)

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """Where the subvolume lies."""
        return (("SourceDir", self.location(layer)),)


def _released(root: int) -> int | None:
    """Let a subvolume be removed; gives its number, None for a plain directory."""
    if os.fstat(root).st_ino != btrfs.ROOT_INODE:
        return None
    btrfs.set_readonly(root, False)
    return btrfs.subvolume(root).id


def _usage_since(root: int, made_in: int) -> Usage:
    size = disk = entries = 0
    for inode in btrfs.changed_inodes(root, made_in):
        if inode.number == btrfs.ROOT_INODE or not inode.links:
            continue
        entries += inode.links
        disk += inode.disk
        if stat.S_ISREG(inode.mode):
            size += inode.size
    return Usage(size, disk, entries)
