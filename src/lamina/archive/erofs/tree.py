"""What a layer's tar means, as a tree in memory in overlayfs's form: a ground for `apply_onto`.

A directory is a number and its names; a name is a number. About 250 bytes an entry. Knows the
layers below only as a `TreeView`; bodies pass by (`keeping`), the image is made later (`writer`).
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.archive.clearing import OnFile
from lamina.archive.copyup import entry_below
from lamina.archive.entry import CHAR, DIR, FILE, SYMLINK, Body, Entry, Regions
from lamina.archive.erofs import format as erofs
from lamina.archive.erofs.chunks import ChunkMap, chunk_map, whole
from lamina.archive.erofs.heap import Heap
from lamina.archive.erofs.inodes import MAPPED, Facts, Inodes
from lamina.archive.erofs.keeping import NOWHERE, Contents, Extent
from lamina.archive.ground import follow
from lamina.archive.making import NODES, device_of
from lamina.errors import BadArchive
from lamina.fs.inroot import shown
from lamina.fs.tree import TreeView

ROOT, WHITEOUT = 0, 1  # all whiteouts are names of one inode
_KNOWN = 4096  # paths remembered at once
_TARGET_LIMIT = 4095  # bytes of a link's target, PATH_MAX less the end


class Spot(NamedTuple):
    """A directory of the tree, at a physical path."""

    number: int
    path: bytes


class Status(NamedTuple):
    """What an inode is."""

    st_mode: int
    st_rdev: int


_ROOT = Spot(ROOT, b"")


class ImageTree:
    """The upper directory that overlay2 would have written (`archive.ground.Ground`)."""

    def __init__(self, lower: TreeView | None, contents: Contents, heap: Heap) -> None:
        self._lower = lower
        self._contents = contents
        self.heap = heap
        self.inodes = Inodes(heap)
        self.children: dict[int, dict[bytes, int]] = {ROOT: {}}
        self.opaque: set[int] = set()
        self.pinned: Spot | None = None
        self.followed: set[bytes] = set()
        self._known: dict[bytes, Spot] = {}
        self._aliases: dict[bytes, Spot] = {}
        self.inodes.add(stat.S_IFDIR, Entry(b"", DIR, 0o755), 0, 0, 0)
        self.inodes.add(stat.S_IFCHR, Entry(b"", CHAR, 0), 0, 0, 0)

    # --- from a name to a directory -----------------------------------------------------

    def get(self, name: bytes) -> Spot:
        """The directory that `name` means, links followed, made with what it implies."""
        spot = self._known.get(name) or self._aliases.get(name)
        if spot is not None:
            return spot
        if not name:
            return _ROOT
        path = self.physical(name)
        spot = self.make(path)
        if path != name:
            if len(self._aliases) >= _KNOWN:
                self.links_changed()
            self._aliases[name] = spot
        return spot

    def physical(self, name: bytes) -> bytes:
        """The path of `name` with every link on the way followed inside the root."""
        if self._existing(name) is not None:
            return name
        alias = self._aliases.get(name)
        if alias is not None:
            return alias.path
        return follow(b"", name, self._link_target, self._is_absent, self.followed)

    def _link_target(self, path: bytes) -> bytes | None:
        number = self._find(path)
        if number is not None:
            if not stat.S_ISLNK(self.inodes.mode(number)):
                return None
            return self.heap.get(self.inodes[number].value)
        below = self.below(path)
        if self._lower is None or below is None or not stat.S_ISLNK(below.st_mode):
            return None
        return self._lower.readlink(path)

    def _is_absent(self, path: bytes) -> bool:
        return self._find(path) is None and self.below(path) is None

    def make(self, path: bytes) -> Spot:
        """The directory at a physical path, made with what it implies if need be."""
        found = self._existing(path)
        if found is not None:
            return found
        at = _ROOT
        for name in path.split(b"/"):
            here = at.path + b"/" + name if at.path else name
            number = self.children[at.number].get(name)
            if number is not None and number in self.children:
                at = Spot(number, here)
            else:
                at = self._imply(at, name, here)
        return at

    def _imply(self, parent: Spot, name: bytes, path: bytes) -> Spot:
        below = self.below(path)
        hidden = self._take_whiteout(parent, name, path)
        is_below = below is not None and stat.S_ISDIR(below.st_mode)
        if below is not None and not is_below and not hidden:
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        made = self.put_directory(parent, name, path)
        if below is not None and is_below and not hidden:
            self.describe(made, self._folder_below(path, below), fresh=True)
        elif hidden and is_below:
            self.hide_fresh(made)
        return made

    def _take_whiteout(self, parent: Spot, name: bytes, path: bytes) -> bool:
        """Take a whiteout out of the way; True when there was one."""
        number = self.children[parent.number].get(name)
        if number is None:
            return False
        if number != WHITEOUT:
            raise BadArchive(f"{shown(path)} is on the way to a member and no directory")
        del self.children[parent.number][name]
        return True

    def _folder_below(self, path: bytes, below: os.stat_result) -> Entry:
        assert self._lower is not None
        mode = stat.S_IMODE(below.st_mode)
        carried = self._lower.xattrs(path)
        entry = Entry(path, DIR, mode, below.st_uid, below.st_gid, 0, below.st_mtime_ns)
        return entry._replace(xattrs=carried)

    # --- what is at a physical path -----------------------------------------------------

    def _existing(self, path: bytes) -> Spot | None:
        """The directory at a physical path, if this layer has it already."""
        if not path:
            return _ROOT
        known = self._known.get(path)
        if known is not None:
            return known
        number = self._find(path)
        if number is None or number not in self.children:
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        spot = self._known[path] = Spot(number, path)
        return spot

    def _find(self, path: bytes) -> int | None:
        """The number of what this layer has at a physical path."""
        parent, _, name = path.rpartition(b"/")
        known = self._known.get(parent)
        if known is not None:
            return self.children[known.number].get(name)
        number: int | None = ROOT
        for part in path.split(b"/") if path else ():
            names = self.children.get(number) if number is not None else None
            if names is None:
                return None
            number = names.get(part)
        return number

    def status(self, path: bytes) -> Status | None:
        """What this layer itself has at a physical path."""
        number = self._find(path)
        if number is None:
            return None
        facts = self.inodes[number]
        return Status(facts.mode, facts.value)

    def below(self, path: bytes) -> os.stat_result | None:
        """What the layers below have there, unless something above it hides it."""
        if self._lower is None or not self._shows(path.rpartition(b"/")[0]):
            return None
        return self._lower.lstat(path)

    def _shows(self, path: bytes) -> bool:
        """Whether nothing of this layer at the directory `path` or on the way hides the below."""
        number = ROOT
        for part in path.split(b"/") if path else ():
            found = self.children[number].get(part)
            if found is None:
                return True
            if found not in self.children or found in self.opaque:
                return False
            number = found
        return True

    def listdir(self, where: Spot) -> list[bytes]:
        """The names in a directory."""
        return list(self.children[where.number])

    def is_directory(self, where: Spot, name: bytes) -> bool:
        """Whether `name`, which is there, is a directory."""
        return self.children[where.number][name] in self.children

    # --- making -------------------------------------------------------------------------

    def _names(self, where: Spot, name: bytes) -> dict[bytes, int]:
        """The directory's names, if `name` can join them."""
        names = self.children[where.number]
        if name in names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if len(name) > erofs.NAME_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return names

    def put_file(self, where: Spot, name: bytes, entry: Entry, body: Body) -> int:
        """Point at a regular file's body, which passes by; gives its inode."""
        names = self._names(where, name)
        number = len(self.inodes)
        if entry.sparse is None:
            extent = self._contents.stored(number, entry.size)
        else:
            extent = self._put_sparse(entry.size, entry.sparse, body)
        names[name] = self._add_file(entry, extent)
        return number

    def _put_sparse(self, size: int, regions: Regions, body: Body) -> Extent:
        """Point at the stored regions, or write the file out where that cannot be."""
        if not size:
            return NOWHERE
        chunks = chunk_map(size, regions, self._contents.block)
        if chunks is None:
            return self._contents.written_out(size, regions, body)
        return Extent(MAPPED, self.heap.put(chunks.record()))

    def _add_file(self, entry: Entry, extent: Extent) -> int:
        return self.inodes.add(stat.S_IFREG, entry, extent.device, entry.size, extent.block)

    def put_directory(self, where: Spot, name: bytes, path: bytes) -> Spot:
        """Make a directory, to be described next."""
        names = self._names(where, name)
        number = self.inodes.add(stat.S_IFDIR, Entry(path, DIR, 0o755), 0, 0, 0)
        self.children[number] = {}
        names[name] = number
        return Spot(number, path)

    def put_symlink(self, where: Spot, name: bytes, entry: Entry) -> None:
        """Make a symbolic link."""
        names = self._names(where, name)
        target = entry.link
        if not target:
            raise BadArchive("it is a symbolic link to nothing")
        if len(target) > _TARGET_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        place = self.heap.put(target)
        entry = entry._replace(mode=0o777)
        names[name] = self.inodes.add(stat.S_IFLNK, entry, 0, len(target), place)

    def put_node(self, where: Spot, name: bytes, entry: Entry) -> None:
        """Make a device or a FIFO."""
        names = self._names(where, name)
        value = erofs.encode_device(*device_of(entry))
        names[name] = self.inodes.add(NODES[entry.kind], entry, 0, 0, value)

    def put_link(self, where: Spot, name: bytes, origin: Spot, base: bytes) -> None:
        """Give the file `base` in `origin` another name."""
        names = self._names(where, name)
        names[name] = self.children[origin.number][base]

    def put_whiteout(self, where: Spot, name: bytes) -> None:
        """Make overlayfs's mark of an absent name."""
        self._names(where, name)[name] = WHITEOUT

    def copy_up(self, path: bytes, status: os.stat_result, where: Spot, name: bytes) -> None:
        """Make `name` in `where` what the layers below have at `path`."""
        assert self._lower is not None
        entry = entry_below(self._lower, path, status)
        if entry.kind == SYMLINK:
            self.put_symlink(where, name, entry)
        elif entry.kind != FILE:
            self.put_node(where, name, entry)
        else:
            names = self._names(where, name)
            source = self._lower.open(path)
            try:
                extent = self._contents.copied(source, entry.size)
            finally:
                os.close(source)
            names[name] = self._add_file(entry, extent)

    def describe(self, where: Spot, entry: Entry, *, fresh: bool) -> None:
        """Give a directory a member's metadata, all of it."""
        self.inodes.describe(where.number, entry)

    # --- taking away and hiding ---------------------------------------------------------

    def clear(self, where: Spot, name: bytes, path: bytes, on_file: OnFile) -> None:
        """Remove what stands there, a whole directory included; the tar keeps all bodies."""
        number = self.children[where.number].pop(name)
        if number in self.children:
            self._known.clear()
            self.links_changed()
            for each in self._below(number):
                del self.children[each]
                self.opaque.discard(each)
        elif stat.S_ISLNK(self.inodes.mode(number)):
            self.links_changed()

    def _below(self, number: int) -> list[int]:
        """A directory and all directories in it."""
        found = [number]
        for each in found:
            found += [child for child in self.children[each].values() if child in self.children]
        return found

    def hide(self, where: Spot) -> None:
        """Make a directory opaque, and free it of whiteouts, which would hide nothing there."""
        for number in self._below(where.number):
            names = self.children[number]
            for name in [name for name, child in names.items() if child == WHITEOUT]:
                del names[name]
        self.hide_fresh(where)
        self.links_changed()

    def hide_fresh(self, where: Spot) -> None:
        """Make a directory opaque that is empty still."""
        self.opaque.add(where.number)

    def links_changed(self) -> None:
        """A link was made or went: names that lead through links must be resolved anew."""
        self._aliases.clear()
        self.followed.clear()

    def finish(self) -> None:
        """Files that had to be moved are where they are now; the rest stands already."""

    def is_simple(self, number: int, facts: Facts) -> bool:
        """Whether this is a file without attributes, in one piece: nearly everything is."""
        return (
            facts.mode & 0xF000 == stat.S_IFREG
            and 0 < facts.size <= erofs.SIMPLE_FILE_LIMIT
            and facts.device != MAPPED
            and not self.inodes.has_xattrs(number)
        )

    def extent(self, number: int, facts: Facts) -> Extent:
        """Where a file in one piece finally lies."""
        moved = self._contents.moved.get(number)
        return Extent(facts.device, facts.value) if moved is None else Extent(2, moved)

    def chunks(self, number: int, facts: Facts) -> ChunkMap:
        """Where a file's bytes finally lie."""
        if facts.device == MAPPED:
            return ChunkMap.of_record(self.heap.get(facts.value))
        return whole(facts.size, *self.extent(number, facts))
