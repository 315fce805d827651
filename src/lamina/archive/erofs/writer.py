"""From the tree of a layer to the bytes of its EROFS image (docs/format/erofs-layer.md).

Two passes: `_Layout` gives every inode its place and counts its names; then inodes and blocks are
written, each area in its own order. The image is made of the tree alone: no clock, no chance.
"""

import hashlib
import os
import stat
from array import array
from typing import NamedTuple

from lamina.archive.erofs import format as erofs
from lamina.archive.erofs.inodes import Facts
from lamina.archive.erofs.tree import ROOT, ImageTree
from lamina.fs.atomic import pwrite_all
from lamina.fs.marks import KERNEL

_BUFFERED = 1 << 20
_TAIL_LIMIT = 384  # a longer tail goes into a block of its own: less is wasted than by aligning
_OPAQUE = erofs.pack_xattrs(((KERNEL.opaque[0], b"y"),))
_BLOCK = erofs.BLOCK


def write_image(path: str, tree: ImageTree, devices: list[tuple[bytes, int]]) -> None:
    """Write the image of `tree` at `path`, which must not exist; raises OSError.

    `devices` are tag and size in blocks of layer.tar and, if there is one, layer.data.
    """
    layout = _Layout(tree)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o400)
    try:
        _write_inodes(descriptor, tree, layout)
        os.ftruncate(descriptor, layout.blocks * _BLOCK)
        _write_head(descriptor, layout, devices)
    finally:
        os.close(descriptor)


class _Layout:
    """Where everything goes: slots of inodes, and blocks behind the last of them."""

    def __init__(self, tree: ImageTree) -> None:
        self._tree = tree
        self.nids = array("I", bytes(4 * len(tree.inodes)))
        self.links = array("I", bytes(4 * len(tree.inodes)))
        self.parents: dict[int, int] = {ROOT: ROOT}
        self.order = array("I")  # inodes as they are placed
        self._starts: dict[int, int] = {}  # first block of those that have blocks, from `_tail` on
        self._slot = erofs.ROOT_NID
        self._used = 0  # blocks behind the inodes
        self._place_all()
        self.first_block = erofs.META_BLOCK + -(-self._slot * erofs.SLOT // _BLOCK)
        self.blocks = self.first_block + self._used

    def _place_all(self) -> None:
        """The root; then the children of each directory, before any grandchild."""
        children = self._tree.children
        self._sort(ROOT)
        self._place(ROOT)
        waiting = [ROOT]
        while waiting:
            directory = waiting.pop()
            below = []
            for child in children[directory].values():
                if child in children:
                    self.parents[child] = directory
                    self.links[directory] += 1
                    self._sort(child)
                    below.append(child)
                else:
                    self.links[child] += 1
                if not self.nids[child]:
                    self._place(child)
            waiting += reversed(below)

    def _sort(self, directory: int) -> None:
        """Let the directory's names stand in order from now on."""
        names = self._tree.children[directory]
        self._tree.children[directory] = dict(sorted(names.items()))
        self.links[directory] = 2

    def _place(self, number: int) -> None:
        shape = shape_of(self._tree, number)
        self._slot = shape.fit(self._slot)
        self.nids[number] = self._slot
        self.order.append(number)
        self._slot += -(-shape.size // erofs.SLOT)
        if shape.blocks:
            self._starts[number] = self._used
            self._used += shape.blocks

    def start(self, number: int) -> int:
        """The first block of an inode's data; 0 for one that has none."""
        start = self._starts.get(number)
        return self.first_block + start if start is not None else 0


class Shape(NamedTuple):
    """What an inode takes: bytes of head and attributes, of what follows, and whole blocks.

    `inline` tells that what follows must lie within one block; `whole`, that the attributes
    must, too (older kernels take a link's target only so).
    """

    head: int
    tail: int
    inline: bool
    whole: bool
    blocks: int

    @property
    def size(self) -> int:
        """Bytes in the inode area."""
        return self.head + self.tail

    def fit(self, slot: int) -> int:
        """The first slot from `slot` on at which it can stand."""
        if self.inline:
            before = erofs.INODE_SIZE if self.whole else self.head
            while (slot * erofs.SLOT + before) % _BLOCK + self.size - before > _BLOCK:
                slot += 1
        return slot


_SIMPLE = Shape(erofs.SIMPLE_FILE_SIZE, 0, False, False, 0)


def shape_of(tree: ImageTree, number: int) -> Shape:
    """The shape of one inode."""
    facts = tree.inodes[number]
    if tree.is_simple(number, facts):
        return _SIMPLE
    kind = facts.mode & 0xF000
    head = erofs.INODE_SIZE + len(_xattrs(tree, number))
    if kind == stat.S_IFDIR:
        runs = erofs.directory_runs(_names(tree, number))
        used = runs[-1].used
        if used <= _TAIL_LIMIT:
            return Shape(head, used, True, False, len(runs) - 1)
        return Shape(head, 0, False, False, len(runs))
    if kind == stat.S_IFREG and facts.size:
        aligned = head + -head % 8
        return Shape(aligned, len(tree.chunks(number, facts).indexes), False, False, 0)
    if kind == stat.S_IFLNK:
        if head - erofs.INODE_SIZE + facts.size <= _TAIL_LIMIT:
            return Shape(head, facts.size, True, True, 0)
        return Shape(head, 0, False, False, -(-facts.size // _BLOCK))
    return Shape(head, 0, False, False, 0)


def _xattrs(tree: ImageTree, number: int) -> bytes:
    if number not in tree.opaque and not tree.inodes.has_xattrs(number):
        return b""
    entries = tree.inodes.xattrs(number)
    if number in tree.opaque:
        entries += _OPAQUE
    return erofs.xattr_body(entries)


def _names(tree: ImageTree, directory: int) -> list[bytes]:
    """The directory's names in the order of the format, `.` and `..` among them."""
    return sorted([b".", b"..", *tree.children[directory]])


# --- writing ----------------------------------------------------------------------------------


def _write_inodes(descriptor: int, tree: ImageTree, layout: _Layout) -> None:
    inodes = _Area(descriptor)
    blocks = _Area(descriptor)
    base = erofs.META_BLOCK * _BLOCK
    for number in layout.order:
        data, tail = _encode(tree, layout, number)
        inodes.put(base + layout.nids[number] * erofs.SLOT, data)
        if tail:
            blocks.put(layout.start(number) * _BLOCK, tail)
    inodes.flush()
    blocks.flush()


class _Area:
    """Bytes at rising offsets, gathered."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._start = 0
        self._buffer = bytearray()

    def put(self, at: int, data: bytes) -> None:
        """`data` at offset `at`, which is not before the end of what was put last."""
        if len(self._buffer) + len(data) > _BUFFERED or not self._buffer:
            self.flush()
            self._start = at
        self._buffer += bytes(at - self._start - len(self._buffer))
        self._buffer += data

    def flush(self) -> None:
        """Write what was gathered; between two areas nothing is written."""
        pwrite_all(self._fd, self._buffer, self._start)
        self._buffer = bytearray()


def _encode(tree: ImageTree, layout: _Layout, number: int) -> tuple[bytes, bytes]:
    """An inode with what stands right behind it, and its own blocks."""
    facts = tree.inodes[number]
    if tree.is_simple(number, facts):
        return _encode_simple(tree, layout, number, facts), b""
    kind = facts.mode & 0xF000
    if kind == stat.S_IFDIR:
        return _encode_directory(tree, layout, number, facts)
    if kind == stat.S_IFREG and facts.size:
        return _encode_file(tree, layout, number, facts), b""
    if kind == stat.S_IFLNK:
        return _encode_link(tree, layout, number, facts)
    value = 0 if kind == stat.S_IFREG else facts.value
    return _head(tree, layout, number, facts, erofs.PLAIN, value), b""


def _head(
    tree: ImageTree, layout: _Layout, number: int, facts: Facts, form: int, value: int
) -> bytes:
    body = _xattrs(tree, number)
    inode = erofs.Inode(
        form,
        erofs.xattr_count(body),
        facts.mode,
        facts.size,
        value,
        layout.nids[number],
        facts.uid,
        facts.gid,
        facts.seconds,
        facts.nanoseconds,
        layout.links[number],
    )
    return inode.pack() + body


def _encode_simple(tree: ImageTree, layout: _Layout, number: int, facts: Facts) -> bytes:
    mode, _, uid, gid, seconds, nanoseconds, size, _ = facts
    nid, links = layout.nids[number], layout.links[number]
    device, block = tree.extent(number, facts)
    return erofs.pack_simple_file(
        mode, size, nid, uid, gid, seconds, nanoseconds, links, device, block
    )


def _encode_file(tree: ImageTree, layout: _Layout, number: int, facts: Facts) -> bytes:
    bits, indexes = tree.chunks(number, facts)
    head = _head(tree, layout, number, facts, erofs.CHUNKED, erofs.CHUNK_INDEXES | bits)
    return head + bytes(-len(head) % 8) + indexes


def _encode_link(
    tree: ImageTree, layout: _Layout, number: int, facts: Facts
) -> tuple[bytes, bytes]:
    target = tree.heap.get(facts.value)
    start = layout.start(number)
    if start:
        return _head(tree, layout, number, facts, erofs.PLAIN, start), _whole_blocks(target)
    return _head(tree, layout, number, facts, erofs.INLINE, 0) + target, b""


def _encode_directory(
    tree: ImageTree, layout: _Layout, number: int, facts: Facts
) -> tuple[bytes, bytes]:
    names = _names(tree, number)
    runs = erofs.directory_runs(names)
    blocks = [_directory_block(tree, layout, number, names[first:end]) for first, end, _ in runs]
    facts = facts._replace(size=erofs.directory_size(runs))
    inline = blocks.pop() if runs[-1].used <= _TAIL_LIMIT else b""
    form = erofs.INLINE if inline else erofs.PLAIN
    head = _head(tree, layout, number, facts, form, layout.start(number))
    return head + inline, b"".join(map(_whole_blocks, blocks))


def _directory_block(tree: ImageTree, layout: _Layout, number: int, names: list[bytes]) -> bytes:
    children = tree.children[number]
    special = {b".": number, b"..": layout.parents[number]}
    entries = []
    for name in names:
        child = children.get(name)
        if child is None:
            child = special[name]
        entries.append((name, layout.nids[child], tree.inodes.mode(child)))
    return erofs.pack_directory_block(entries)


def _whole_blocks(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _write_head(descriptor: int, layout: _Layout, devices: list[tuple[bytes, int]]) -> None:
    """Super block and device slots, last: they hold the digest of all."""
    slots = []
    start = layout.blocks
    for tag, blocks in devices:
        slots.append(erofs.Device(tag, blocks, start).pack())
        start += blocks
    block = erofs.SuperBlock(
        0, erofs.ROOT_NID, len(layout.order), layout.blocks, bytes(16), len(slots)
    )
    head = _whole_blocks(block.pack() + b"".join(slots))
    pwrite_all(descriptor, head, erofs.SUPER_AT)
    uuid = image_uuid(descriptor, head)
    head = block._replace(uuid=uuid).pack() + head[erofs.SUPER_SIZE :]
    checksum = erofs.crc32c(head)
    head = block._replace(uuid=uuid, checksum=checksum).pack() + head[erofs.SUPER_SIZE :]
    pwrite_all(descriptor, head, erofs.SUPER_AT)


def image_uuid(descriptor: int, head: bytes) -> bytes:
    """The name an image gives itself: of all its bytes, uuid and checksum of `head` being zero."""
    digest = hashlib.sha256(bytes(erofs.SUPER_AT) + head)
    at = erofs.SUPER_AT + len(head)
    while data := os.pread(descriptor, _BUFFERED, at):
        digest.update(data)
        at += len(data)
    return digest.digest()[:16]
