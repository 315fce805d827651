"""The digest of what a COPY or ADD would copy: part of its cache key.

Counted are each file's name below the destination, type, mode, size, numeric owner (where it is
carried over), link target, device number, attributes and bytes. Not counted are times and hard
links. Files whose digest the stat cache still vouches for are not opened.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lamina.build.cachekey import Files
from lamina.build.selection import Listing, Node, Selected
from lamina.build.sources import SourceTree
from lamina.build.statcache import StatCache
from lamina.errors import BuildError, from_oserror
from lamina.fs.status import IDENTITY, packed

_CHUNK = 1 << 20


class Content(NamedTuple):
    """`digest` of everything selected; `files` explain it (see `cachekey.Files`).

    `listings` tell for each source whether it is still the same (`Selected.expect`). What is only
    `told`, by an imported cache, was not looked at.
    """

    digest: str
    files: Mapping[str, str]
    listings: tuple[bytes, ...] = ()
    told: bool = False


def content_of(tree: SourceTree, selected: Iterable[Selected], cache: StatCache) -> Content:
    """Digest every selected file; raises a `StorageError` for one that cannot be read."""
    total = hashlib.sha256()
    files = Files()
    listings = []
    for source in selected:
        total.update(b"source\0")
        listing = Listing()
        try:
            for node in source.nodes():
                listing.add(node)
                line = b"".join((node.name, _facts(tree, node), _payload(tree, node, cache)))
                total.update(b"%d:%b" % (len(line), line))
                if not node.is_directory:
                    files.add(os.fsdecode(node.name), line)
        except OSError as error:
            raise from_oserror(error, f"reading {tree.title}:") from error
        listings.append(listing.digest())
    return Content("sha256:" + total.hexdigest(), files.condensed(), tuple(listings))


def _facts(tree: SourceTree, node: Node) -> bytes:
    if not node.name and node.is_directory:
        return b"\0top\0"  # a source directory's own mode and owner are not copied
    status = node.status
    mode = status.mode
    size = status.size if stat.S_ISREG(mode) else 0
    if tree.keeps_owners:
        return b"\0%o %d:%d %d %d\0" % (mode, status.uid, status.gid, size, status.rdev)
    return b"\0%o  %d %d\0" % (mode, size, status.rdev)


def _payload(tree: SourceTree, node: Node, cache: StatCache) -> bytes:
    """32 bytes for the content, the link target and the attributes."""
    if node.fetched is not None:
        return node.fetched.digest
    if node.path is None:
        return hashlib.sha256(node.data).digest()
    known = cache.find(node.packed)
    if known is not None:
        return known
    try:
        digest, read_ns = _read(tree, node.path, node)
    except OSError as error:
        raise from_oserror(error, "reading", os.fsdecode(node.path)) from error
    cache.note(node.packed, digest, read_ns)
    return digest


def _read(tree: SourceTree, path: bytes, node: Node) -> tuple[bytes, int]:
    now = time.time_ns()
    digest = hashlib.sha256()
    for name, value in tree.xattrs(path):
        digest.update(b"%d:%d:" % (len(name), len(value)) + name + value)
    digest.update(b"\0")
    mode = node.status.mode
    if stat.S_ISLNK(mode):
        digest.update(tree.readlink(path))
    elif stat.S_ISREG(mode):
        _read_file(tree, path, node.packed, digest)
    return digest.digest(), now


def _read_file(tree: SourceTree, path: bytes, status: bytes, digest: "hashlib._Hash") -> None:
    descriptor = tree.open(path)
    try:
        require_unchanged(descriptor, status, path)
        while data := os.read(descriptor, _CHUNK):
            digest.update(data)
        require_unchanged(descriptor, status, path)
    finally:
        os.close(descriptor)


def require_unchanged(descriptor: int, status: bytes, path: bytes) -> None:
    """Raise `BuildError` when an open file is no longer what its packed status says."""
    if packed(os.fstat(descriptor))[:IDENTITY] != status[:IDENTITY]:
        raise BuildError(
            f"{os.fsdecode(path)!r} changed while it was read", hint="build again when it is still"
        )
