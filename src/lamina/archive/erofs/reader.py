"""Reading an image back to say whether it is whole: everything it points at is where it may be.

Checks what the writer promises (docs/format/erofs-layer.md): the image's own name for itself, every
inode, name, block and extent. Reads metadata only; what the files hold is their tar's matter.
"""

import os
import stat
from collections import Counter
from collections.abc import Sequence

from lamina.archive.erofs import format as erofs
from lamina.archive.erofs.heads import HINT
from lamina.archive.erofs.keeping import TAR, content_digest
from lamina.archive.erofs.writer import image_uuid
from lamina.errors import StoreDamaged
from lamina.fs.inroot import shown

_TARGET_LIMIT = 4095
_INODES = erofs.META_BLOCK * erofs.BLOCK


def check_image(path: str, tar: str, data: str | None) -> None:
    """Raise `StoreDamaged` unless `path` is a whole image over `tar` and, if need be, `data`.

    What `data` holds is compared with its digest; the tar's is for whoever knows it.
    """
    opened: list[int] = []
    try:
        files = (path, tar, data) if data is not None else (path, tar)
        opened.extend(os.open(each, os.O_RDONLY | os.O_CLOEXEC) for each in files)
        _Image(opened[0], opened[1:]).check()
    except OSError as error:
        raise StoreDamaged(f"the image {path}: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise StoreDamaged(
            f"the image {path} is damaged: {error}",
            hint=HINT,
        ) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


class _Image:
    """One open image; every method raises ValueError for what is wrong."""

    def __init__(self, descriptor: int, files: Sequence[int]) -> None:
        self._fd = descriptor
        self._size = os.fstat(descriptor).st_size
        self._files = files
        self._devices: list[int] = []  # blocks of each
        self._links: dict[int, int] = {}  # how many each inode says it has
        self._names: Counter[int] = Counter()
        self._folders: set[int] = set()

    def check(self) -> None:
        block = self._check_head()
        self._walk(block.root_nid)
        if len(self._links) != block.inodes:
            raise ValueError(f"it has {len(self._links)} inodes, not {block.inodes}")
        for nid, links in self._links.items():
            if self._names[nid] != links:
                raise ValueError(f"inode {nid} has {self._names[nid]} names, not {links}")

    def _check_head(self) -> erofs.SuperBlock:
        if self._read(0, erofs.SUPER_AT).strip(b"\0"):
            raise ValueError("it does not begin with zeros")
        head = self._read(erofs.SUPER_AT, erofs.BLOCK)
        block = erofs.SuperBlock.unpack(head[: erofs.SUPER_SIZE])
        rest = head[erofs.SUPER_SIZE :]
        if block.pack() != head[: erofs.SUPER_SIZE] or block.root_nid != erofs.ROOT_NID:
            raise ValueError("its super block is none of ours")
        if erofs.crc32c(block._replace(checksum=0).pack() + rest) != block.checksum:
            raise ValueError("its super block's checksum is wrong")
        if block.blocks * erofs.BLOCK != self._size:
            raise ValueError(f"it has {self._size} bytes, not {block.blocks} blocks")
        if image_uuid(self._fd, block._replace(checksum=0, uuid=bytes(16)).pack() + rest) != (
            block.uuid
        ):
            raise ValueError("its bytes are no longer those that were written")
        self._check_devices(block.devices, rest)
        return block

    def _check_devices(self, count: int, slots: bytes) -> None:
        if count != len(self._files):
            raise ValueError(f"it needs {count} files beside it, not {len(self._files)}")
        for index, file in enumerate(self._files):
            at = index * erofs.DEVICE_SIZE
            device = erofs.Device.unpack(slots[at : at + erofs.DEVICE_SIZE])
            size = os.fstat(file).st_size
            if device.blocks != -(-size >> erofs.BLOCK_BITS):
                raise ValueError(f"file {index + 1} beside it has {size} bytes")
            tag = content_digest(file) if index else TAR
            if device.tag != tag.encode():
                raise ValueError(f"file {index + 1} beside it was changed")
            self._devices.append(device.blocks)

    def _read(self, at: int, size: int) -> bytes:
        if at < 0 or size < 0 or at + size > self._size:
            raise ValueError(f"something is said to lie at {at}, outside of it")
        return os.pread(self._fd, size, at)

    # --- the tree -----------------------------------------------------------------------

    def _walk(self, root: int) -> None:
        waiting = [(root, root)]
        while waiting:
            nid, parent = waiting.pop()
            if nid in self._folders:
                raise ValueError(f"the directory {nid} has two names")
            self._folders.add(nid)
            for name, child, kind in self._directory(nid, parent):
                mode = self._inode(child).mode
                if erofs.kind_of(mode) != kind:
                    raise ValueError(f"the name {shown(name)} tells another kind than its inode")
                self._names[child] += 1
                if name not in (b".", b"..") and stat.S_ISDIR(mode):
                    waiting.append((child, nid))

    def _directory(self, nid: int, parent: int) -> list[tuple[bytes, int, int]]:
        inode = self._inode(nid)
        if not stat.S_ISDIR(inode.mode):
            raise ValueError(f"inode {nid} is no directory")
        data = self._data(nid, inode)
        found: list[tuple[bytes, int, int]] = []
        for at in range(0, len(data), erofs.BLOCK):
            found += erofs.unpack_directory_block(data[at : at + erofs.BLOCK])
        names = [name for name, _, _ in found]
        if names != sorted(set(names)) or any(b"/" in name or b"\0" in name for name in names):
            raise ValueError(f"the names of directory {nid} are not in order")
        special = {name: child for name, child, _ in found if name in (b".", b"..")}
        if special != {b".": nid, b"..": parent}:
            raise ValueError(f"directory {nid} does not say where it is")
        return found

    def _inode(self, nid: int) -> erofs.Inode:
        at = _INODES + nid * erofs.SLOT
        inode = erofs.Inode.unpack(self._read(at, erofs.INODE_SIZE))
        if nid not in self._links:
            self._check_inode(nid, inode)
            self._links[nid] = inode.links
        return inode

    def _check_inode(self, nid: int, inode: erofs.Inode) -> None:
        at = _INODES + nid * erofs.SLOT + erofs.INODE_SIZE
        erofs.unpack_xattrs(self._read(at, erofs.xattr_size(inode.xattr_count)))
        if inode.nanoseconds >= 1_000_000_000 or nid < erofs.ROOT_NID:
            raise ValueError(f"inode {nid} is out of range")
        kind = stat.S_IFMT(inode.mode)
        if kind == stat.S_IFREG:
            self._check_file(nid, inode)
        elif kind == stat.S_IFLNK:
            target = self._data(nid, inode)
            if not 0 < len(target) <= _TARGET_LIMIT or b"\0" in target:
                raise ValueError(f"the link {nid} has no proper target")
        elif kind not in (stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO):
            raise ValueError(f"inode {nid} is of no kind")

    def _behind(self, nid: int, inode: erofs.Inode) -> int:
        """Where what follows an inode and its attributes begins."""
        head = erofs.INODE_SIZE + erofs.xattr_size(inode.xattr_count)
        return _INODES + nid * erofs.SLOT + head

    def _data(self, nid: int, inode: erofs.Inode) -> bytes:
        """What an inode holds in the image itself."""
        if inode.layout not in (erofs.PLAIN, erofs.INLINE) or not inode.size:
            raise ValueError(f"inode {nid} holds nothing here")
        whole, rest = divmod(inode.size, erofs.BLOCK)
        if inode.layout == erofs.PLAIN or not rest:
            return self._read(inode.value * erofs.BLOCK, inode.size)
        at = self._behind(nid, inode)
        if at % erofs.BLOCK + rest > erofs.BLOCK:
            raise ValueError(f"the tail of inode {nid} crosses its block")
        return self._read(inode.value * erofs.BLOCK, whole * erofs.BLOCK) + self._read(at, rest)

    def _check_file(self, nid: int, inode: erofs.Inode) -> None:
        if not inode.size:
            return
        bits = inode.value & erofs.CHUNK_BITS_LIMIT
        if inode.layout != erofs.CHUNKED or inode.value != erofs.CHUNK_INDEXES | bits:
            raise ValueError(f"the file {nid} is not in chunks")
        at = self._behind(nid, inode)
        count = erofs.chunk_count(inode.size, bits)
        indexes = self._read(at + -at % 8, count * erofs.CHUNK_SIZE)
        left = inode.size
        for device, block in erofs.unpack_chunks(indexes):
            self._check_extent(nid, device, block, min(left, erofs.BLOCK << bits))
            left -= erofs.BLOCK << bits

    def _check_extent(self, nid: int, device: int, block: int, size: int) -> None:
        if (device, block) == (0, erofs.HOLE):
            return
        end = block + -(-size >> erofs.BLOCK_BITS)
        if not 1 <= device <= len(self._devices) or end > self._devices[device - 1]:
            raise ValueError(f"the file {nid} points outside of its tar")
