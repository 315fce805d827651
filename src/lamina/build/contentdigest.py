"""The digest of what a COPY or ADD would copy: part of its cache key.

Counted are each file's name below the destination, type, mode, size, numeric owner (where it is
carried over), link target, device number, attributes and bytes. Not counted are times and hard
links. Files whose digest the stat cache still vouches for are not opened.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from typing import NamedTuple

from lamina.build.selection import Node, Selected
from lamina.build.sources import SourceTree
from lamina.build.statcache import StatCache, identity
from lamina.errors import BuildError, from_oserror

_CHUNK = 1 << 20


class Content(NamedTuple):
    """`digest` of everything selected; `files` gives a short one per name, for explanations."""

    digest: str
    files: tuple[tuple[str, str], ...]


def content_of(tree: SourceTree, selected: Iterable[Selected], cache: StatCache) -> Content:
    """Digest every selected file; raises a `StorageError` for one that cannot be read."""
    total = hashlib.sha256()
    files = []
    for source in selected:
        total.update(b"source\0")
        for node in source.nodes:
            line = node.name + b"\0" + _facts(tree, node) + _payload(tree, node, cache)
            total.update(b"%d:" % len(line) + line)
            if not node.is_directory:
                files.append((os.fsdecode(node.name), line[-8:].hex()))
    return Content("sha256:" + total.hexdigest(), tuple(files))


def _facts(tree: SourceTree, node: Node) -> bytes:
    status = node.status
    if not node.name and node.is_directory:
        return b"top\0"  # a source directory's own mode and owner are not copied
    owner = b"%d:%d" % (status.st_uid, status.st_gid) if tree.keeps_owners else b""
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return b"%o %s %d %d\0" % (status.st_mode, owner, size, status.st_rdev or 0)


def _payload(tree: SourceTree, node: Node, cache: StatCache) -> bytes:
    """32 bytes for the content, the link target and the attributes."""
    if node.path is None:
        return hashlib.sha256(node.data).digest()
    known = cache.find(node.status)
    if known is not None:
        return known
    try:
        digest, read_ns = _read(tree, node.path, node)
    except OSError as error:
        raise from_oserror(error, "reading", os.fsdecode(node.path)) from error
    cache.note(node.status, digest, read_ns)
    return digest


def _read(tree: SourceTree, path: bytes, node: Node) -> tuple[bytes, int]:
    now = time.time_ns()
    digest = hashlib.sha256()
    for name, value in tree.xattrs(path):
        digest.update(b"%d:%d:" % (len(name), len(value)) + name + value)
    digest.update(b"\0")
    if stat.S_ISLNK(node.status.st_mode):
        digest.update(tree.readlink(path))
    elif stat.S_ISREG(node.status.st_mode):
        _read_file(tree, path, node.status, digest)
    return digest.digest(), now


def _read_file(
    tree: SourceTree, path: bytes, status: os.stat_result, digest: "hashlib._Hash"
) -> None:
    descriptor = tree.open(path)
    try:
        require_unchanged(descriptor, status, path)
        while data := os.read(descriptor, _CHUNK):
            digest.update(data)
        require_unchanged(descriptor, status, path)
    finally:
        os.close(descriptor)


def require_unchanged(descriptor: int, status: os.stat_result, path: bytes) -> None:
    """Raise `BuildError` when an open file is no longer what was looked at before."""
    if identity(os.fstat(descriptor)) != identity(status):
        raise BuildError(
            f"{os.fsdecode(path)!r} changed while it was read", hint="build again when it is still"
        )
