"""The merged tree of an image with every path's past, built from layer indexes alone. Pure.

A layer's members are applied in order onto one tree of names (docs/format/layer-semantics.md), as
`archive.apply` does on disk; nothing is unpacked and no content is looked at. What is taken away
stays in the tree as past, so that it can be told which layer brought, changed and hid each path.
Knows records and paths; knows no image, no store and no instruction.
"""

from collections.abc import Iterable, Iterator

import msgspec

from lamina.archive.entry import DIR, FILE, HARDLINK, SYMLINK
from lamina.archive.ground import follow
from lamina.archive.index import Record
from lamina.archive.whiteout import PREFIX, Whiteout, classify
from lamina.errors import BadArchive
from lamina.fs.inroot import shown

Xattrs = tuple[tuple[bytes, bytes], ...]
Sparse = tuple[tuple[int, int], ...] | None
Key = tuple[bytes, int, Sparse]

WHITEOUT, OPAQUE, REPLACED = "whiteout", "opaque", "replaced"
_KINDS = {kind: kind for kind in (FILE, DIR, SYMLINK, HARDLINK, "char", "block", "fifo")}
_IMPLIED_MODE = 0o755
_REMEMBERED = 1024  # directories by name, for members that come folder by folder


class Version(msgspec.Struct, frozen=True, gc=False):
    """What one layer put at a path. `layer` counts from 0, the lowest; sizes are in bytes.

    `size` is the file's with its holes, `stored` what the layer's tar carries of it; `digest` is
    the SHA-256 of what is stored. Of a further name of a file (a hard link) `origin` is the
    version that brought the file; the name itself stores nothing. An `implied` directory is
    one that no member names.
    """

    layer: int
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    stored: int
    mtime_ns: int
    link: bytes
    device: tuple[int, int] | None
    xattrs: Xattrs
    sparse: Sparse
    digest: bytes
    origin: "Version | None" = None
    implied: bool = False

    @property
    def body(self) -> "Version":
        """The version that brought the file: one for all of its names."""
        return self.origin or self

    @property
    def content(self) -> Key:
        """Equal for files of equal content."""
        return self.digest, self.size, self.sparse

    @property
    def metadata(self) -> tuple[int, int, int, Xattrs]:
        """Mode, owner, group, attributes: what a chmod or a chown changes; a link has no mode."""
        return self.mode if self.kind != SYMLINK else 0o777, self.uid, self.gid, self.xattrs


class Gone(msgspec.Struct, frozen=True, gc=False):
    """That a layer took a path away, by itself or with the directory `top` above it.

    `how`: a whiteout, an opaque marker, or something else put in the place of `top`. `size` is
    in bytes, of all files that went with `top`.
    """

    layer: int
    how: str
    top: bytes
    size: int


class Node:
    """A path: what is there now, if anything, and what was there before."""

    __slots__ = ("children", "name", "now", "parent", "past", "touched")

    def __init__(self, name: bytes, parent: "Node | None") -> None:
        self.name = name
        self.parent = parent
        self.now: Version | None = None
        self.past: list[Version | Gone] | None = None
        self.children: dict[bytes, Node] | None = None
        self.touched = -1  # the last layer that brought it, or something below it

    @property
    def path(self) -> bytes:
        """Its path, without a leading slash."""
        parts: list[bytes] = []
        at: Node | None = self
        while at is not None and at.parent is not None:
            parts.append(at.name)
            at = at.parent
        return b"/".join(reversed(parts))

    @property
    def steps(self) -> list[Version | Gone]:
        """Everything that happened here, in order."""
        now = [self.now] if self.now is not None else []
        return [*(self.past or ()), *now]

    def visible(self) -> Iterator["Node"]:
        """What lies in it now, sorted by name."""
        children = self.children or {}
        return (children[name] for name in sorted(children) if children[name].now is not None)


class MergedTree:
    """Layers laid over one another, lowest first; raises `BadArchive` for what does not fit."""

    def __init__(self) -> None:
        self.root = Node(b"", None)
        self.root.now = _directory(-1)
        self.layers = 0
        self.implied = 0  # directories that no member named when they came
        self._emptied: set[int] = set()
        self._folders: dict[bytes, Node] = {}  # names that were followed, as long as none changes

    def add_layer(self, records: Iterable[Record]) -> None:
        """Lay one more layer on top; `records` are those of its index, in order."""
        self._emptied.clear()
        self._forget()
        for record in records:
            if not record.kind:
                continue  # a piece of what follows the last member
            mark = classify(record.name) if PREFIX in record.name else None
            if mark is not None:
                self._mark(mark)
            elif record.name:
                self._place(record)
            else:
                self._put(self.root, self._version(record))
        self.layers += 1

    # --- members ------------------------------------------------------------------------

    def _place(self, record: Record) -> None:
        folder_name, _, name = record.name.rpartition(b"/")
        folder = self._folder(folder_name)
        version = self._linked(record) if record.kind == HARDLINK else self._version(record)
        if folder.children is None:
            folder.children = {}
        node = folder.children.get(name)
        if node is None:
            node = folder.children[name] = Node(name, folder)
        elif node.now is not None and node.now.kind in (DIR, SYMLINK):
            self._make_way(node, version)
        self._put(node, version)
        self._touch(node)

    def _make_way(self, node: Node, version: Version) -> None:
        """A directory takes what is in it along; a link led elsewhere until now."""
        assert node.now is not None
        if node.now.kind == SYMLINK:
            self._forget()
        elif version.kind != DIR:
            self._take_away(list(node.visible()), REPLACED, node.path)

    def _put(self, node: Node, version: Version) -> None:
        if node.now is not None:
            _note(node, node.now)
        node.now = version

    def _version(self, record: Record) -> Version:
        sparse = record.sparse
        is_file = record.kind == FILE
        stored = record.size if sparse is None else sum(length for _, length in sparse)
        device = (record.devmajor, record.devminor)
        return Version(
            self.layers,
            _KINDS[record.kind],
            record.mode,
            record.uid,
            record.gid,
            record.size if is_file else 0,
            stored if is_file else 0,
            record.mtime_ns,
            record.link,
            device if device != (0, 0) else None,
            record.xattrs,
            sparse,
            record.digest,
        )

    def _linked(self, record: Record) -> Version:
        """Another name of what the record links to."""
        folder_name, _, name = record.link.rpartition(b"/")
        folder = self._find_folder(folder_name)
        target = (folder.children or {}).get(name) if folder is not None else None
        if target is None or target.now is None or target.now.kind == DIR:
            raise _impossible(record.name)
        now = target.now
        return msgspec.structs.replace(now, layer=self.layers, stored=0, origin=now.body)

    def _touch(self, node: Node | None) -> None:
        while node is not None and node.touched != self.layers:
            node.touched = self.layers
            node = node.parent

    # --- whiteouts ----------------------------------------------------------------------

    def _mark(self, mark: Whiteout) -> None:
        if mark.what == "aufs":
            return
        folder = self._find_folder(mark.folder)
        if folder is None:
            return
        if mark.what == "opaque":
            self._empty(folder)
            return
        node = (folder.children or {}).get(mark.base)
        if node is not None and node.now is not None:
            self._touch(folder)
            self._take_away([node], WHITEOUT, node.path)

    def _empty(self, folder: Node) -> None:
        """Opaque: only what this layer brings stays in a directory."""
        if id(folder) in self._emptied:
            return
        self._touch(folder)
        doomed: list[Node] = []
        waiting = [folder]
        while waiting:
            at = waiting.pop()
            self._emptied.add(id(at))  # what comes into it from now on is this layer's
            for child in at.visible():
                if child.touched != self.layers:
                    doomed.append(child)
                elif id(child) not in self._emptied:
                    waiting.append(child)
        self._take_away(doomed, OPAQUE, folder.path)

    def _take_away(self, nodes: list[Node], how: str, top: bytes) -> None:
        """Nodes with all below them become past."""
        doomed = nodes
        at = 0
        while at < len(doomed):
            doomed += doomed[at].visible()
            at += 1
        size = sum(each.now.size for each in doomed if each.now and each.now.origin is None)
        gone = Gone(self.layers, how, top, size)
        for node in doomed:
            assert node.now is not None
            _note(node, node.now, gone)
            node.now = None
        self._forget()

    # --- finding directories ------------------------------------------------------------

    def _forget(self) -> None:
        self._folders.clear()

    def _folder(self, name: bytes) -> Node:
        """The directory that `name` means, links followed, with what it implies."""
        known = self._folders.get(name)
        if known is not None:
            return known
        at = self._walked(name)
        if len(self._folders) >= _REMEMBERED:
            self._forget()
        self._folders[name] = at
        return at

    def _walked(self, name: bytes) -> Node:
        at = self.root
        for part in name.split(b"/") if name else ():
            child = (at.children or {}).get(part)
            if child is None or child.now is None:
                child = self._imply(at, part)
            elif child.now.kind == SYMLINK:
                return self._folder(self._follow(name))
            elif child.now.kind != DIR:
                raise _impossible(name)
            at = child
        return at

    def _imply(self, folder: Node, name: bytes) -> Node:
        if folder.children is None:
            folder.children = {}
        child = folder.children.setdefault(name, Node(name, folder))
        self.implied += 1
        self._put(child, _directory(self.layers))
        return child

    def _find_folder(self, name: bytes) -> Node | None:
        """The directory that `name` means, if there is one now."""
        at = self.root
        for part in name.split(b"/") if name else ():
            child = (at.children or {}).get(part)
            if child is None or child.now is None:
                return None
            if child.now.kind == SYMLINK:
                return self._find_folder(self._follow(name))
            at = child
        return at if at.now is not None and at.now.kind == DIR else None

    def _follow(self, name: bytes) -> bytes:
        return follow(b"", name, self._link_target, lambda path: self.at(path) is None, set())

    def _link_target(self, path: bytes) -> bytes | None:
        node = self.at(path)
        now = node.now if node is not None else None
        return now.link if now is not None and now.kind == SYMLINK else None

    # --- looking ------------------------------------------------------------------------

    def at(self, path: bytes) -> Node | None:
        """What is at a physical path now."""
        node = self.known(path)
        return node if node is not None and node.now is not None else None

    def known(self, path: bytes) -> Node | None:
        """What is or ever was at a physical path."""
        at = self.root
        for part in path.split(b"/") if path else ():
            child = (at.children or {}).get(part)
            if child is None:
                return None
            at = child
        return at

    def resolve(self, path: bytes, *, follow_last: bool = True) -> Node | None:
        """What `path` leads to now, its links followed inside the tree; None for nothing.

        Raises `BadArchive` for links without an end.
        """
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if follow_last or not parts or parts[-1] == b"..":
            return self.at(self._follow(b"/".join(parts)))
        folder = self.at(self._follow(b"/".join(parts[:-1])))
        node = (folder.children or {}).get(parts[-1]) if folder is not None else None
        return node if node is not None and node.now is not None else None

    def nodes(self) -> Iterator[tuple[bytes, Node]]:
        """Every path that is or ever was, with its node; parents first, in no other order."""
        waiting = [(b"", self.root)]
        while waiting:
            path, node = waiting.pop()
            yield path, node
            if node.children:
                prefix = path + b"/" if path else b""
                waiting += [(prefix + name, child) for name, child in node.children.items()]


def _note(node: Node, *steps: Version | Gone) -> None:
    if node.past is None:
        node.past = []
    node.past += steps


def _directory(layer: int) -> Version:
    return Version(layer, DIR, _IMPLIED_MODE, 0, 0, 0, 0, 0, b"", None, (), None, b"", implied=True)


def _impossible(name: bytes) -> BadArchive:
    return BadArchive(f"the layers do not fit together at {shown(name)}")
